import { type Test, test } from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import { flannelKeys } from '../../src/cluster/flannel.ts'
import type { FlannelVtep } from '../../src/cluster/node.ts'
import { AccessMissing } from '../../src/kube/access.ts'
import { NodeWriter, networkIsUp } from '../../src/kube/node-writer.ts'
import { nodeObject } from '../support/api-objects.ts'
import { ApiServer } from '../support/api-server.ts'
import type { ApiObject } from '../support/api-store.ts'
import { clientOf } from './reflected.ts'

async function withWriter(t: Test, work: (server: ApiServer, writer: NodeWriter) => Promise<void>) {
  const server = new ApiServer()
  await server.listen()
  t.teardown(() => server.stop())
  server.store.put('/nodes', nodeObject(1))
  let minute = 0
  const date = (): Date => new Date(Date.UTC(2026, 0, 1, 0, minute++))
  await work(server, new NodeWriter({ client: clientOf(server), name: 'node-1', time: { date } }))
}

const node = (server: ApiServer): ApiObject => server.store.get('/nodes', 'node-1')!.object
const conditions = (server: ApiServer) =>
  (node(server).status as { conditions: readonly Record<string, string>[] }).conditions
const writes = (server: ApiServer) => server.requests.filter((line) => line.startsWith('PATCH'))

test('a condition is written once, beside others’', (t) =>
  withWriter(t, async (server, writer) => {
    t.same(await writer.writeConditions([networkIsUp]), ['NetworkUnavailable'])
    t.match(conditions(server), [
      { type: 'Ready', status: 'True' },
      {
        type: 'NetworkUnavailable',
        status: 'False',
        reason: 'TulleIsUp',
        lastTransitionTime: '2026-01-01T00:00:00Z',
      },
    ])
    t.same(await writer.writeConditions([networkIsUp]), [])
    t.equal(writes(server).length, 1)
  }))

test('its time of transition is kept while its status is', (t) =>
  withWriter(t, async (server, writer) => {
    const condition = { type: 'TulleUnderlay', status: 'False', reason: 'Blocked' } as const
    await writer.writeConditions([{ ...condition, message: 'one peer' }])
    await writer.writeConditions([{ ...condition, message: 'two peers' }])
    const [, second] = conditions(server)
    t.equal(second?.lastTransitionTime, '2026-01-01T00:00:00Z')
    t.equal(second?.lastHeartbeatTime, '2026-01-01T00:01:00Z')
    await writer.writeConditions([{ ...condition, status: 'True', message: 'none' }])
    t.equal(conditions(server)[1]?.lastTransitionTime, '2026-01-01T00:02:00Z')
  }))

test('conditions are removed, once', (t) =>
  withWriter(t, async (server, writer) => {
    await writer.writeConditions([networkIsUp])
    await writer.removeConditions(['NetworkUnavailable'])
    await writer.removeConditions(['NetworkUnavailable'])
    t.same(
      conditions(server).map(({ type }) => type),
      ['Ready'],
    )
    t.equal(writes(server).length, 2)
  }))

const vtep: FlannelVtep = {
  family: 4,
  address: parseAddress('172.16.0.1')!,
  mac: '02:74:ac:10:00:01',
  vni: 1,
}

test('Flannel’s annotations are written once, and again when somebody changes them', (t) =>
  withWriter(t, async (server, writer) => {
    t.equal(await writer.writeFlannel([vtep]), true)
    t.same(node(server).metadata.annotations, {
      'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
      'flannel.alpha.coreos.com/backend-type': 'vxlan',
      'flannel.alpha.coreos.com/backend-data': '{"VNI":1,"VtepMAC":"02:74:ac:10:00:01"}',
      'flannel.alpha.coreos.com/public-ip': '172.16.0.1',
    })
    t.equal(await writer.writeFlannel([vtep]), false)
    const { metadata } = node(server)
    const annotations = { ...(metadata.annotations as object), [flannelKeys.type]: 'host-gw' }
    server.store.put('/nodes', { ...node(server), metadata: { ...metadata, annotations } })
    t.equal(await writer.writeFlannel([vtep]), true)
    t.equal(writes(server).length, 2)
  }))

test('a right that is missing is named with its rule', (t) =>
  withWriter(t, async (server, writer) => {
    server.faults.denied.add('patch nodes/status')
    const refused = writer.writeConditions([networkIsUp])
    await t.rejects(refused, AccessMissing)
    await t.rejects(refused, {
      message: /\{ apiGroups: \[""\], resources: \["nodes\/status"\], verbs: \["patch"\] \}$/,
    })
  }))

test('a node that is not there is a refusal with its status', (t) =>
  withWriter(t, async (server, writer) => {
    server.store.delete('/nodes', 'node-1')
    await t.rejects(writer.writeConditions([networkIsUp]), { message: /404 NotFound/ })
  }))
