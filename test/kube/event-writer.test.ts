import { type Test, test } from 'tap'
import { EventWriter, type Finding } from '../../src/kube/event-writer.ts'
import { systemTime } from '../../src/kube/time.ts'
import { ApiServer } from '../support/api-server.ts'
import { clientOf } from './reflected.ts'

const minuteMs = 60_000
const blocked: Finding = {
  type: 'Warning',
  reason: 'UnderlayBlocked',
  action: 'Probed',
  note: 'no answer from node-2 on UDP 8472',
}

async function withEvents(
  t: Test,
  work: (given: {
    server: ApiServer
    writer: EventWriter
    pass: (ms: number) => void
  }) => Promise<void>,
): Promise<void> {
  const server = new ApiServer()
  await server.listen()
  t.teardown(() => server.stop())
  let nowMs = 5_000
  let chance = 0
  const time = {
    ...systemTime,
    nowMs: () => nowMs,
    date: () => new Date(Date.UTC(2026, 0, 1) + nowMs),
    random: () => (chance += 1 / 16),
  }
  const pass = (ms: number): void => {
    nowMs += ms
  }
  const writer = new EventWriter({ client: clientOf(server), node: 'node-1', time })
  await work({ server, writer, pass })
}

const written = (server: ApiServer) =>
  server.store.list('events.k8s.io/events').map(({ object }) => object)

test('an Event is what the API’s validation asks for', (t) =>
  withEvents(t, async ({ server, writer }) => {
    t.equal(await writer.report(blocked), true)
    t.match(written(server), [
      {
        metadata: { name: 'node-1.100000000000', namespace: 'default' },
        eventTime: '2026-01-01T00:00:05.000000Z',
        reportingController: 'tulle.dev/agent',
        reportingInstance: 'node-1',
        regarding: { kind: 'Node', name: 'node-1' },
        ...blocked,
      },
    ])
  }))

test('a kind is written once in five minutes; what came meanwhile is counted', (t) =>
  withEvents(t, async ({ server, writer, pass }) => {
    await writer.report(blocked)
    for (let times = 0; times < 10; times++) t.equal(await writer.report(blocked), false)
    t.equal(server.requests.length, 1)
    pass(5 * minuteMs - 1)
    t.equal(await writer.report(blocked), false)
    pass(1)
    t.equal(await writer.report(blocked), true)
    t.match(written(server), [
      { series: { count: 13, lastObservedTime: '2026-01-01T00:05:05.000000Z' } },
    ])
    t.equal(written(server).length, 1)
  }))

test('another note of the kind waits too, and is an Event of its own', (t) =>
  withEvents(t, async ({ server, writer, pass }) => {
    await writer.report(blocked)
    t.equal(await writer.report({ ...blocked, note: 'no answer from node-3' }), false)
    pass(5 * minuteMs)
    t.equal(await writer.report({ ...blocked, note: 'no answer from node-3' }), true)
    t.equal(written(server).length, 2)
  }))

test('two kinds do not hinder each other', (t) =>
  withEvents(t, async ({ writer }) => {
    await writer.report(blocked)
    t.equal(await writer.report({ ...blocked, reason: 'PodCIDRExhausted' }), true)
  }))

test('an Event that the server has forgotten is written anew', (t) =>
  withEvents(t, async ({ server, writer, pass }) => {
    await writer.report(blocked)
    server.store.delete('events.k8s.io/events', 'default/node-1.100000000000')
    pass(5 * minuteMs)
    t.equal(await writer.report(blocked), true)
    t.equal(written(server).length, 1)
  }))

test('a refused one is not tried again before its time; the missing rule is named', (t) =>
  withEvents(t, async ({ server, writer }) => {
    server.faults.denied.add('create events')
    await t.rejects(writer.report(blocked), {
      message: /Role "tulle-events" of namespace default: .*"events.k8s.io".*"events".*"create"/,
    })
    t.equal(await writer.report(blocked), false)
  }))

test('a long note is cut to what the API takes', (t) =>
  withEvents(t, async ({ server, writer }) => {
    await writer.report({ ...blocked, note: `a${'ü'.repeat(5000)}` })
    t.equal(written(server)[0]?.note, `a${'ü'.repeat(511)}`)
  }))

test('more kinds than are remembered cost no memory', (t) =>
  withEvents(t, async ({ server, writer }) => {
    for (let kind = 0; kind < 101; kind++) await writer.report({ ...blocked, reason: `K${kind}` })
    t.equal(await writer.report({ ...blocked, reason: 'K100' }), false)
    t.equal(await writer.report({ ...blocked, reason: 'K0' }), true)
    t.ok(server.requests.length >= 102)
  }))

test('all nodes find the same about a policy: one Event, beside it', (t) =>
  withEvents(t, async ({ server, writer }) => {
    const object = {
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumNetworkPolicy',
      namespace: 'shop',
      name: 'l7',
      uid: 'uid-7',
    }
    const refused: Finding = { ...blocked, reason: 'PolicyRefused', note: 'no L7', object }
    const elsewhere = new EventWriter({
      client: clientOf(server),
      node: 'node-2',
      time: systemTime,
    })
    t.equal(await writer.report(refused), true)
    t.equal(await elsewhere.report(refused), true)
    t.match(written(server), [
      { metadata: { namespace: 'shop' }, regarding: object, reportingInstance: 'node-1' },
    ])
    t.equal(written(server).length, 1)
    t.equal(await writer.report({ ...refused, object: { ...object, uid: 'uid-8' } }), true)
    t.equal(written(server).length, 2, 'another policy of that name is another one')
    server.faults.denied.add('create events')
    const third = { ...refused, object: { ...object, uid: 'uid-9' } }
    await t.rejects(writer.report(third), /add to the ClusterRole/)
  }))
