import fc from 'fast-check'
import { test } from 'tap'
import {
  bucketOf,
  filtersOf,
  isOurPreference,
  redirectionsOf,
  rootShapeOf,
  type Shaping,
} from '../../src/datapath/shaping.ts'
import { holds } from '../base/law.ts'
import { link } from '../wire/values.ts'

const latency = { latencyMilliseconds: 25 }
const mtu = 1500
/** With Ethernet's header and a VLAN tag. */
const frame = 1518

for (const { why, shape, want } of [
  {
    why: 'no burst: 10 ms, and 25 ms may wait',
    shape: { rateBits: 20e6, burstBits: null },
    want: { rateBytes: 2_500_000, burstBytes: 25_000, limitBytes: 62_500 },
  },
  {
    why: 'a burst that fits into the queue',
    shape: { rateBits: 20e6, burstBits: 400_000 },
    want: { rateBytes: 2_500_000, burstBytes: 50_000, limitBytes: 62_500 },
  },
  {
    why: 'a longer one: packets are cut, or a large one would never fit into the queue',
    shape: { rateBits: 5e6, burstBits: 5e6 },
    want: {
      rateBytes: 625_000,
      burstBytes: 625_000,
      limitBytes: 15_625,
      peak: { rateBytes: 1.25e9, packetBytes: 3906 },
    },
  },
  {
    why: 'a burst of more than a second is cut to that',
    shape: { rateBits: 8e6, burstBits: 4e9 },
    want: { rateBytes: 1e6, burstBytes: 1e6, limitBytes: 25_000 },
  },
  {
    why: 'a bucket that no frame fits into would drop them all',
    shape: { rateBits: 1e6, burstBits: 8 },
    want: { rateBytes: 125_000, burstBytes: 2 * frame, limitBytes: 4 * frame },
  },
  {
    why: 'less than a byte a second',
    shape: { rateBits: 1, burstBits: null },
    want: { rateBytes: 1, burstBytes: 2 * frame, limitBytes: 4 * frame },
  },
  {
    why: 'more than fits into 32 bits',
    shape: { rateBits: 1e15, burstBits: null },
    want: { rateBytes: 125e12, burstBytes: 0xffffffff, limitBytes: 0xffffffff },
  },
])
  test(`bucketOf: ${why}`, async (t) => t.match(bucketOf(shape, latency, mtu), want))

const anyShape = fc.record({
  rateBits: fc.integer({ min: 1, max: 1e15 }),
  burstBits: fc.option(fc.integer({ min: 1, max: 0xffff_fffe })),
})
const anyMtu = fc.integer({ min: 68, max: 65_535 })

test('a bucket has room for two frames and its queue for four, for a second at most', async (t) => {
  const property = fc.property(anyShape, anyMtu, (shape, mtuBytes) => {
    const { rateBytes, burstBytes, limitBytes, peak } = bucketOf(shape, latency, mtuBytes)
    const frameBytes = mtuBytes + 18
    const isRoomy = burstBytes >= 2 * frameBytes && limitBytes >= 4 * frameBytes
    const isShort = burstBytes <= Math.max(rateBytes, 2 * frameBytes)
    const isPrompt = limitBytes <= Math.max(rateBytes * 0.025, 4 * frameBytes)
    // What is not cut, because the burst has room for it, has to fit into the queue.
    const packetBytes = Math.min(burstBytes, peak?.packetBytes ?? burstBytes)
    return isRoomy && isShort && isPrompt && packetBytes <= limitBytes && packetBytes >= frameBytes
  })
  return holds(t, property)
})

const shape = { rateBits: 1e6, burstBits: null }
const shaping = (change: Partial<Shaping>): Shaping => ({
  ingress: shape,
  egress: shape,
  subnets: { kind: 'unshaped', prefixes: [] },
  latencyMilliseconds: 25,
  keepsClassifier: false,
  ...change,
})
const hooksOf = (one: Shaping): readonly string[] =>
  redirectionsOf(one).map(({ direction, hook }) => `${direction} at ${hook}`)

test('only what is asked for is built', async (t) => {
  t.strictSame(hooksOf(shaping({})), ['egress at ingress'])
  t.equal(rootShapeOf(shaping({})), shape)
  t.strictSame(hooksOf(shaping({ egress: null })), [])
  t.equal(rootShapeOf(shaping({ ingress: null })), null)
  const some = { kind: 'shaped', prefixes: ['10.0.0.0/8'] } as const
  t.strictSame(hooksOf(shaping({ subnets: some })), ['egress at ingress', 'ingress at egress'])
  t.equal(rootShapeOf(shaping({ subnets: some })), null, 'the root is free: the rest is not held')
  t.strictSame(hooksOf(shaping({ subnets: some, egress: null })), ['ingress at egress'])
})

for (const { kind, want } of [
  { kind: 'unshaped', want: ['ip 10.0.0.0 goes on', 'ipv6 fd00:: goes on', 'all – redirected'] },
  { kind: 'shaped', want: ['ip 10.0.0.0 redirected', 'ipv6 fd00:: redirected'] },
] as const)
  test(`filters where some subnets are ${kind}`, async (t) => {
    const asked = shaping({ subnets: { kind, prefixes: ['10.0.0.0/8', 'fd00::/8'] } })
    for (const redirection of redirectionsOf(asked)) {
      const filters = filtersOf(asked, redirection, { link: link(3), ifb: link(5) })
      const told = filters.map(({ protocol, match, redirectTo }) => {
        const { family } = match?.prefix.address ?? {}
        const network = family === undefined ? '–' : family === 4 ? '10.0.0.0' : 'fd00::'
        return `${protocol} ${network} ${redirectTo === 5 ? 'redirected' : 'goes on'}`
      })
      t.strictSame(told, want)
      const peer = redirection.direction === 'egress' ? 'destination' : 'source'
      t.ok(
        filters.every(({ match }) => match === null || match.at === peer),
        'the pod’s peer',
      )
      const order = filters.map(({ preference }) => preference)
      t.strictSame(order, order.toSorted(), 'the rest comes last')
      t.ok(order.every((one) => isOurPreference(redirection.hook, one)))
    }
  })
