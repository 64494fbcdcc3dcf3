import { type Test, test } from 'tap'
import { Findings } from '../../src/agent/findings.ts'
import { Rights } from '../../src/agent/rights.ts'
import { clientOf } from '../kube/reflected.ts'
import { ApiServer } from '../support/api-server.ts'
import { FakeClock } from './fake-clock.ts'
import { until } from './running-agent.ts'

async function withRights(
  t: Test,
  work: 'routes' | 'routes and policies',
): Promise<{ api: ApiServer; rights: Rights; findings: Findings; clock: FakeClock }> {
  const api = new ApiServer()
  await api.listen()
  const clock = new FakeClock()
  const findings = new Findings(clock, () => undefined)
  const client = clientOf(api)
  const onAnswer = (): void => undefined
  const rights = new Rights({ client, work, clock, random: () => 0.5, findings, onAnswer })
  t.teardown(async () => {
    rights.close()
    client.close()
    await api.stop()
  })
  return { api, rights, findings, clock }
}

test('what is denied is told with its rules, and asked for until it is granted', async (t) => {
  const { api, rights, findings, clock } = await withRights(t, 'routes and policies')
  api.faults.denied.add('watch nodes').add('list networkpolicies').add('create events')
  rights.ask()
  await until('the findings', () => findings.all.length === 2)
  t.notOk(rights.isEnough)
  t.match(findings.all, [
    {
      check: 'rights-missing',
      severity: 'error',
      subject: 'RBAC denies 2 rights',
      remedy: /ClusterRole "tulle": .*\["nodes"\].*\["watch"\].*\["networkpolicies"\]/,
    },
    { check: 'rights-missing', severity: 'warning', meaning: /create events/ },
  ])
  api.faults.denied.clear()
  await clock.pass(9_999)
  t.notOk(rights.isEnough, 'it is not asked all the time')
  await clock.pass(1)
  await until('the rights', () => rights.isEnough)
  t.same(findings.all, [])
  t.equal(clock.waiting, 0, 'what is granted is not asked for again')
})

test('without policies those of policies are not asked for', async (t) => {
  const { api, rights, findings } = await withRights(t, 'routes')
  api.faults.denied.add('list networkpolicies').add('patch events')
  rights.ask()
  await until('the finding', () => findings.all.length === 1)
  t.match(findings.all, [
    { severity: 'warning', remedy: /Role "tulle-events" of namespace default/ },
  ])
  t.ok(rights.isEnough)
})

test('an API server that is silent denies nothing, and is asked later', async (t) => {
  const { api, rights, findings, clock } = await withRights(t, 'routes')
  api.faults.denied.add('watch nodes')
  await api.stop()
  rights.ask()
  await until('the next question', () => clock.waiting === 1)
  t.ok(rights.isEnough)
  t.same(findings.all, [])
})
