import t from 'tap'
import { ProbeExchange, type Shot } from '../../src/agent/probe-exchange.ts'
import { choosePeers, ProbeLoop, peersPerRoundMax, reportOf } from '../../src/agent/probe-loop.ts'
import { type Address, formatAddress, parseAddress } from '../../src/base/address.ts'
import { decodeProbe, encodeProbe } from '../../src/overlay/probe.ts'
import type { PeerEnd, ProbePeer, ProbeView } from '../../src/overlay/probe-view.ts'
import type { OpenProbeSocket } from '../../src/serve/probe-socket.ts'

const address = (text: string): Address => parseAddress(text)!
const numbers = { vni: 1, port: 8472, probePort: 7476 }
const end = (path: PeerEnd['path'], text: string): PeerEnd => ({
  path,
  address: address(text),
  mtuBytes: 1500,
  ...(path.startsWith('pods') ? { pods: { mode: 'vxlan', over: 4 } } : {}),
})
const peer: ProbePeer = {
  name: 'b',
  ends: [end('node-4', '10.0.0.2'), end('pods-4', '10.244.2.0')],
}
const view: ProbeView = {
  name: 'a',
  ends: [end('node-4', '10.0.0.1'), end('pods-4', '10.244.1.0')],
  peers: [peer],
  numbers,
}

/** It delivers nothing by itself: the test looks at what is sent, and says what comes. */
function network() {
  const sent: { from: string; to: string; bytes: Uint8Array }[] = []
  const takers = new Map<string, (bytes: Uint8Array, from: Address) => void>()
  const absent = new Set<string>()
  const open: OpenProbeSocket = async ({ address: own, onDatagram }) => {
    const from = formatAddress(own)
    if (absent.has(from)) throw new Error(`bind EADDRNOTAVAIL ${from}`)
    takers.set(from, onDatagram)
    return {
      send: (bytes, to) => void sent.push({ from, to: formatAddress(to), bytes }),
      close: () => void takers.delete(from),
    }
  }
  const deliver = (to: string, from: string, bytes: Uint8Array): void =>
    takers.get(to)?.(bytes, address(from))
  return { sent, takers, absent, open, deliver }
}

function exchangeOn({ open }: { open: OpenProbeSocket }) {
  const clock = { now: 5_000 }
  const faults: string[] = []
  const exchange = new ProbeExchange({
    open,
    now: () => clock.now,
    random: () => 0.5,
    checksumErrors: () => 7,
    onFault: (text) => void faults.push(text),
  })
  return { exchange, clock, faults }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const request = {
  kind: 'request',
  from: 'b',
  to: 'a',
  sequence: 9,
  size: 'small',
  answerBy: 'node-4',
  heard: new Set<never>(),
  checksumErrors: 0,
} as const

t.test('a known peer’s request is answered, as long as it is and no longer', async (t) => {
  const net = network()
  const { exchange } = exchangeOn(net)
  exchange.update(view)
  await settled()
  for (const length of [30, 100, 1472]) {
    net.sent.length = 0
    const bytes = encodeProbe(request, length)
    net.deliver('10.0.0.1', '10.0.0.2', bytes)
    const [answer] = net.sent
    t.equal(net.sent.length, 1)
    t.equal(answer?.bytes.length, bytes.length)
    t.match(answer, { from: '10.0.0.1', to: '10.0.0.2' })
    t.match(decodeProbe(answer!.bytes), {
      ...{ kind: 'answer', sequence: 9, from: 'a', to: 'b', checksumErrors: 7 },
      heard: new Set(['node-4 small']),
    })
  }
})

t.test('an answer takes the way that was asked for, to the address that is known', async (t) => {
  const net = network()
  const { exchange } = exchangeOn(net)
  exchange.update(view)
  await settled()
  net.deliver('10.0.0.1', '10.0.0.2', encodeProbe({ ...request, answerBy: 'pods-4' }))
  t.match(net.sent, [{ from: '10.244.1.0', to: '10.244.2.0' }])
  net.deliver('10.0.0.1', '10.0.0.2', encodeProbe({ ...request, answerBy: 'pods-6' }))
  t.equal(net.sent.length, 1, 'a way that the peer has not')
})

for (const { why, from = '10.0.0.2', at = '10.0.0.1', bytes } of [
  { why: 'a stranger', bytes: encodeProbe({ ...request, from: 'c' }) },
  { why: 'another address than the peer’s', from: '10.0.0.9', bytes: encodeProbe(request) },
  { why: 'its address on another way', at: '10.244.1.0', bytes: encodeProbe(request) },
  { why: 'for another node', bytes: encodeProbe({ ...request, to: 'c' }) },
  { why: 'an answer that nobody waits for', bytes: encodeProbe({ ...request, kind: 'answer' }) },
  { why: 'noise', bytes: Uint8Array.of(1, 2, 3) },
])
  t.test(`not answered: ${why}`, async (t) => {
    const net = network()
    const { exchange } = exchangeOn(net)
    exchange.update(view)
    await settled()
    net.deliver(at, from, bytes)
    t.same(net.sent, [])
  })

t.test('answers have a limit in a second', async (t) => {
  const net = network()
  const { exchange, clock } = exchangeOn(net)
  exchange.update(view)
  await settled()
  for (let count = 0; count < 5_000; count++)
    net.deliver('10.0.0.1', '10.0.0.2', encodeProbe(request))
  t.equal(net.sent.length, 2_000)
  clock.now += 1_000
  net.deliver('10.0.0.1', '10.0.0.2', encodeProbe(request))
  t.equal(net.sent.length, 2_001)
})

t.test('an answer counts for the peer that was asked, once', async (t) => {
  const net = network()
  const { exchange, clock } = exchangeOn(net)
  const other = { ...peer, name: 'c', ends: [end('node-4', '10.0.0.3')] }
  exchange.update({ ...view, peers: [peer, other] })
  await settled()
  let done = 0
  const shot: Shot = exchange.ask(peer, { path: 'node-4', size: 'small' }, () => void done++)
  const asked = decodeProbe(net.sent[0]!.bytes)!
  const answer = { ...asked, kind: 'answer' as const, from: 'c', to: 'a' }
  net.deliver('10.0.0.1', '10.0.0.3', encodeProbe(answer))
  t.equal(shot.answer, undefined, 'another node’s')
  clock.now += 3
  for (let count = 0; count < 2; count++)
    net.deliver('10.0.0.1', '10.0.0.2', encodeProbe({ ...answer, from: 'b' }))
  t.equal(shot.answer?.rttMs, 3)
  t.equal(done, 1)
})

t.test('what the peer hears is forgotten after ten seconds', async (t) => {
  const net = network()
  const { exchange, clock } = exchangeOn(net)
  exchange.update(view)
  await settled()
  net.deliver('10.244.1.0', '10.244.2.0', encodeProbe({ ...request, size: 'full' }, 500))
  const heard = (): readonly string[] => {
    net.deliver('10.0.0.1', '10.0.0.2', encodeProbe(request))
    return [...decodeProbe(net.sent.at(-1)!.bytes)!.heard]
  }
  t.same(heard(), ['node-4 small', 'pods-4 full'])
  clock.now += 10_001
  t.same(heard(), ['node-4 small'])
})

t.test('sockets follow the addresses; one that is not there yet is tried again', async (t) => {
  const net = network()
  net.absent.add('10.244.1.0')
  const { exchange, faults } = exchangeOn(net)
  exchange.update(view)
  await settled()
  t.same([...net.takers.keys()], ['10.0.0.1'])
  t.match(faults, [/Cannot probe by pods-4: bind EADDRNOTAVAIL/])
  net.absent.clear()
  exchange.bind()
  await settled()
  t.same([...net.takers.keys()], ['10.0.0.1', '10.244.1.0'])
  exchange.update({ ...view, ends: [end('node-4', '10.0.0.7')] })
  await settled()
  t.same([...net.takers.keys()], ['10.0.0.7'])
  exchange.close()
  t.same([...net.takers.keys()], [])
})

const many = (count: number): readonly ProbePeer[] =>
  Array.from({ length: count }, (_, at) => ({ ...peer, name: `n${String(at).padStart(4, '0')}` }))

t.test('5,000 nodes: a round is bounded, and everybody’s turn comes', async (t) => {
  const peers = many(5_000)
  const failing = new Set(peers.slice(100, 200).map(({ name }) => name))
  const asked = new Set<string>()
  let last = ''
  let rounds = 0
  while (asked.size < peers.length && ++rounds < 200) {
    const chosen = choosePeers(peers, last, failing)
    t.equal(chosen.peers.length, peersPerRoundMax)
    t.equal(new Set(chosen.peers).size, peersPerRoundMax, 'nobody twice')
    for (const { name } of chosen.peers) asked.add(name)
    last = chosen.last
  }
  t.equal(asked.size, 5_000)
  t.ok(rounds <= Math.ceil(5_000 / 48) + 1, `${rounds} rounds`)
})

t.test('a few nodes: everybody in every round', async (t) => {
  const chosen = choosePeers(many(3), 'n0001', new Set(['n0000']))
  t.same(
    chosen.peers.map(({ name }) => name),
    ['n0000', 'n0002', 'n0001'],
  )
  t.same(choosePeers([], 'n0001', new Set()), { peers: [], last: 'n0001' })
})

t.test('a peer that left while it was asked is not reported', async (t) => {
  const net = network()
  const reports: unknown[] = []
  const loop: ProbeLoop = new ProbeLoop({
    open: net.open,
    now: () => 0,
    random: () => 0,
    checksumErrors: () => 0,
    onFault: () => undefined,
    date: () => 'now',
    wait: async (milliseconds) => {
      if (milliseconds === 1_000) loop.update({ ...view, peers: isLeaving ? [] : view.peers })
    },
    onReport: (report) => void reports.push(report),
  })
  let isLeaving = false
  loop.update(view)
  await settled()
  await loop.round()
  t.match(reports, [{ peer: 'b', status: { state: 'failing', lossPercent: 100 } }])
  isLeaving = true
  await loop.round()
  t.equal(reports.length, 1)
  loop.close()
  loop.close()
})

t.test('a peer without a way in common is unknown, not failing', async (t) => {
  const result = { peer: 'b', node: [], pods: [], checksumErrors: 0 }
  t.match(reportOf(result, view, 'now'), { status: { state: 'unknown' }, diagnoses: [] })
})
