import fc from 'fast-check'
import { test } from 'tap'
import { type Address, formatAddress } from '../../../src/base/address.ts'
import { formatMac, localMac } from '../../../src/base/mac.ts'
import { attribute, u32 } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import {
  decodeNeighbour,
  dumpNeighbours,
  type Neighbour,
  newNeighbour,
  type ObservedNeighbour,
} from '../../../src/wire/rtnl/neighbour.ts'
import { holds } from '../../base/law.ts'
import { agrees, type GoldenRow, neighbourShape, readGolden, titleOf } from '../golden.ts'
import { address, bytes, link, mac } from '../values.ts'

const on = { link: link(4), mac: mac('0a:58:0a:01:00:05') }
const rows: readonly Omit<GoldenRow, 'shape'>[] = [
  { golden: 'neighbour-replace-v4', ours: newNeighbour({ ...on, address: address('192.0.2.5') }) },
  { golden: 'neighbour-replace-v6', ours: newNeighbour({ ...on, address: address('fe80::1') }) },
  { golden: 'neighbour-dump', ours: dumpNeighbours() },
  { golden: 'neighbour-dump-link', ours: dumpNeighbours({ link: link(4) }) },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, { ...row, shape: neighbourShape })
  })

const textOf = (one: ObservedNeighbour | undefined): string | undefined =>
  one &&
  `${formatAddress(one.address)} dev ${one.link} lladdr ${one.mac ? formatMac(one.mac) : '-'}` +
    `${one.permanent ? ' PERMANENT' : ''}`

test('decodeNeighbour reads what the kernel says', async (t) => {
  const found = decodeReplies(readGolden('reply-neighbours')).flatMap((reply) =>
    reply.kind === 'message' ? [textOf(decodeNeighbour(reply.message.body))] : [],
  )
  // the kernel makes entries for multicast by itself: NOARP, not permanent
  t.ok(found.includes('192.0.2.5 dev 4 lladdr 0a:58:0a:01:00:05 PERMANENT'))
  t.ok(found.includes('224.0.0.22 dev 4 lladdr 01:00:5e:00:00:16'))
})

/** struct ndmsg with this state, in hex and as the header has it. */
const head = (state: string): Uint8Array => bytes(`02000000 04000000 ${state} 0001`)
const dst = attribute(1, bytes('c0000205'))
const lladdr = attribute(2, bytes('0a580a010005'))
for (const row of [
  {
    why: 'permanent',
    parts: [head('8000'), dst, lladdr],
    want: '192.0.2.5 dev 4 lladdr 0a:58:0a:01:00:05 PERMANENT',
  },
  {
    why: 'reachable is not permanent',
    parts: [head('0200'), dst, lladdr],
    want: '192.0.2.5 dev 4 lladdr 0a:58:0a:01:00:05',
  },
  { why: 'incomplete has no MAC', parts: [head('0100'), dst], want: '192.0.2.5 dev 4 lladdr -' },
  {
    why: 'a MAC of no bytes, as on tun',
    parts: [head('8000'), dst, attribute(2, bytes(''))],
    want: '192.0.2.5 dev 4 lladdr - PERMANENT',
  },
  {
    why: 'the last of two addresses',
    parts: [head('0200'), dst, attribute(1, bytes('c0000206'))],
    want: '192.0.2.6 dev 4 lladdr -',
  },
  {
    why: 'unknown attributes are passed over',
    parts: [head('0200'), u32(999, 1), dst],
    want: '192.0.2.5 dev 4 lladdr -',
  },
  {
    why: "a bridge's forwarding entry has a MAC alone",
    parts: [head('8000'), lladdr],
    want: undefined,
  },
  {
    why: 'an address of six bytes',
    parts: [head('8000'), attribute(1, bytes('0a580a010005'))],
    want: undefined,
  },
])
  test(`decodeNeighbour: ${row.why}`, async (t) => {
    t.equal(textOf(decodeNeighbour(Buffer.concat(row.parts))), row.want)
  })

const anyNeighbour: fc.Arbitrary<Neighbour> = fc.record({
  link: fc.integer({ min: 1, max: 0x7fff_ffff }).map(link),
  address: fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): Address => ({ family: 4, value })),
    fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value): Address => ({ family: 6, value })),
  ),
  mac: fc.uint8Array({ minLength: 6, maxLength: 6 }).map(localMac),
})

test('decodeNeighbour undoes newNeighbour', async (t) => {
  const law = fc.property(anyNeighbour, (one) => {
    const back = textOf(decodeNeighbour(newNeighbour(one).body))
    return back === textOf({ ...one, permanent: true })
  })
  holds(t, law)
})
