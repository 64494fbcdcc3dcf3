// Other people's hands in the table of policies: packaged agents, and nft as the other one.
import { test } from 'tap'
import { fromClients, isRefusedSoon, talksSoon, withPolicedNode } from './policed-node.ts'

const damages: Readonly<Record<string, string>> = {
  'the whole ruleset': 'flush ruleset',
  'the table': 'delete table inet tulle-policy',
  'all rules': 'flush table inet tulle-policy',
  'the verdicts': 'flush map inet tulle-policy ingress4',
  'who is who': 'flush map inet tulle-policy identity4',
}
test('what somebody takes from the policies is put back', (t) =>
  withPolicedNode(async (node) => {
    const api = await node.run({ name: 'api', labels: { app: 'api' } })
    const client = await node.run({ name: 'client', labels: { app: 'client' } })
    const other = await node.run({ name: 'other' })
    const [address = ''] = api.addresses
    await node.put(fromClients)
    await isRefusedSoon(other.netns, address)
    const { netns } = node.member.host
    for (const [what, script] of Object.entries(damages)) {
      const done = netns.exec(['nft', script])
      t.equal(done.code, 0, done.stderr)
      await isRefusedSoon(other.netns, address)
      await talksSoon(client.netns, address)
      t.pass(what)
    }
    const { drift } = await node.member.agent.status()
    t.ok((drift.byKind.policy ?? 0) > 0, JSON.stringify(drift))
  }))
