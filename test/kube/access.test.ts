import { test } from 'tap'
import { deniedNeeds, explainDenied, need, neededAtStart, remedyOf } from '../../src/kube/access.ts'
import { ApiServer } from '../support/api-server.ts'
import { clientOf } from './reflected.ts'

test('what RBAC denies is found, and each missing rule is named', async (t) => {
  const server = new ApiServer()
  await server.listen()
  t.teardown(() => server.stop())
  const client = clientOf(server)
  t.same(await deniedNeeds(client, neededAtStart), [])
  server.faults.denied.add('watch nodes').add('patch nodes/status')
  const denied = await deniedNeeds(client, neededAtStart)
  t.same(denied, [need.watchNodes, need.patchNodeStatus])
  t.equal(
    explainDenied(denied),
    'Not allowed: watch nodes (routes follow every node), patch nodes/status ' +
      "(this node's conditions and Flannel's annotations are written)",
  )
  t.equal(
    remedyOf([...denied, need.patchEvents]),
    'apply the manifest again, or add to the ClusterRole "tulle": ' +
      '{ apiGroups: [""], resources: ["nodes"], verbs: ["watch"] }, ' +
      '{ apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] }; ' +
      'and to the Role "tulle-events" of namespace default: ' +
      '{ apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["patch"] }',
  )
})

test('an API server that is not there is no denial', async (t) => {
  const client = clientOf({ url: 'http://127.0.0.1:1' })
  await t.rejects(deniedNeeds(client, neededAtStart), { name: 'KubeUnreachable' })
})
