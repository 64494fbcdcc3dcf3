import t from 'tap'
import { systemClock } from '../../src/agent/clock.ts'
import { Findings } from '../../src/agent/findings.ts'
import type { LoopTimings } from '../../src/agent/probe-loop.ts'
import { SelfTest, waitOn } from '../../src/agent/self-test.ts'
import { type Address, formatAddress, parseAddress } from '../../src/base/address.ts'
import { parsePrefix } from '../../src/base/prefix.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'
import type { Self } from '../../src/overlay/fabric.ts'
import { defaultOverlay } from '../../src/overlay/options.ts'
import { weavePeer } from '../../src/overlay/peer.ts'
import { decodeProbe, encodeProbe } from '../../src/overlay/probe.ts'
import type { OpenProbeSocket } from '../../src/serve/probe-socket.ts'

t.setTimeout(30_000)

const address = (text: string): Address => parseAddress(text)!
const self: Self = {
  name: 'n0',
  podCIDRs: [parsePrefix('10.244.0.0/24')!],
  underlay: { 4: { address: address('10.0.0.1'), link: 'eth0', mtuBytes: 1500, onLink: [] } },
}
const node = (number: number): ClusterNode => ({
  name: `n${number}`,
  addresses: [address(`10.0.${number}.1`)],
  podCIDRs: [parsePrefix(`10.244.${number}.0/24`)!],
})

/** Peers that answer by the ways that are open. */
function peers(isOpen: (to: string) => boolean): OpenProbeSocket {
  return async ({ onDatagram }) => ({
    send: (bytes, to) => {
      const request = decodeProbe(bytes)
      if (!request || !isOpen(formatAddress(to))) return
      // An answer that is to take another way is lost there.
      if (request.answerBy.startsWith('pods') !== formatAddress(to).startsWith('10.244.')) return
      const { from, to: name } = request
      const answer = { ...request, kind: 'answer' as const, from: name, to: from }
      setImmediate(() => onDatagram(encodeProbe(answer, bytes.length), to))
    },
    close: () => undefined,
  })
}

function selfTest(
  count: number,
  isOpen: (to: string) => boolean,
  timings: Partial<LoopTimings> = {},
) {
  const nodes = new Map(Array.from({ length: count }, (_, at) => [`n${at + 1}`, node(at + 1)]))
  let told = (): void => undefined
  const changed = new Promise<void>((resolve) => {
    told = resolve
  })
  const findings = new Findings(systemClock, () => told())
  const test = new SelfTest({
    clock: systemClock,
    random: () => 0,
    overlay: defaultOverlay,
    snapshot: { nodes },
    fabric: {
      self,
      weave: {
        nodes: new Map(
          [...nodes].map(([name, one]) => [name, weavePeer(self, one, defaultOverlay)]),
        ),
      },
    },
    findings,
    onFault: () => undefined,
    open: peers(isOpen),
    checksumErrors: () => 0,
    timings: {
      ...{ tries: 2, gapMilliseconds: 1, answerMilliseconds: 30 },
      ...{ roundMilliseconds: 50, spreadMilliseconds: 0 },
      ...timings,
    },
  })
  test.mark()
  test.mark()
  test.start()
  return { test, findings, changed, nodes }
}

t.test(
  'a tunnel that is blocked is found, told once, and taken back when it is mended',
  async (t) => {
    let isBlocked = true
    const { test, findings, changed } = selfTest(2, (to) => !isBlocked || to !== '10.244.2.0')
    await changed
    t.match(findings.all, [{ check: 'tunnel-blocked', subject: 'n2', severity: 'error' }])
    t.match(test.statusOf('n2'), { state: 'failing' })
    isBlocked = false
    while (findings.all.length > 0) await waitOn(systemClock)(10)
    t.match(test.statusOf('n2'), { state: 'ok', lossPercent: 0 })
    t.match(test.statusOf('n1'), { state: 'ok' })
    await test.stop()
    await test.stop()
  },
)

t.test('the same of many nodes is one finding', async (t) => {
  const { test, findings } = selfTest(9, (to) => !to.startsWith('10.244.'))
  while (findings.all[0]?.subject !== 'more than 5 nodes') await waitOn(systemClock)(10)
  t.match(findings.all, [{ check: 'tunnel-blocked', subject: 'more than 5 nodes' }])
  t.equal(findings.all.length, 1)
  await test.stop()
})

t.test('a node that left is forgotten with what was found of it', async (t) => {
  const { test, findings, changed, nodes } = selfTest(1, () => false)
  await changed
  t.match(findings.all, [{ check: 'node-unreachable', subject: 'n1' }])
  nodes.clear()
  test.mark()
  while (findings.all.length > 0) await waitOn(systemClock)(10)
  t.equal(test.statusOf('n1'), undefined)
  await test.stop()
})

t.test('it stops in the middle of a round, however long that would last', async (t) => {
  let asked = (): void => undefined
  const begun = new Promise<void>((resolve) => {
    asked = resolve
  })
  const isOpen = (): boolean => {
    asked()
    return false
  }
  const { test, findings } = selfTest(3, isOpen, { answerMilliseconds: 600_000 })
  await begun
  await test.stop()
  t.same(findings.all, [], 'and what was not finished says nothing')
})

t.test('waiting ends with its signal', async (t) => {
  const stop = new AbortController()
  const waited = waitOn(systemClock)(60_000, stop.signal)
  stop.abort()
  await waited
  await waitOn(systemClock)(60_000, stop.signal)
  t.pass('and at once where it has come already')
})
