import fc from 'fast-check'
import { test } from 'tap'
import { type Address, formatAddress } from '../../../src/base/address.ts'
import { formatMac, localMac } from '../../../src/base/mac.ts'
import { formatPrefix } from '../../../src/base/prefix.ts'
import { attribute } from '../../../src/wire/netlink/attribute.ts'
import {
  decodeForwarding,
  deleteForwarding,
  dumpForwarding,
  type Forwarding,
  replaceForwarding,
} from '../../../src/wire/rtnl/forwarding.ts'
import { deleteNeighbour, dumpNeighbours } from '../../../src/wire/rtnl/neighbour.ts'
import { decodeLink } from '../../../src/wire/rtnl/observed-link.ts'
import {
  decodeRoute,
  deleteRoute,
  dumpRoutes,
  replaceRoute,
  tableMain,
} from '../../../src/wire/rtnl/route.ts'
import { newVxlan, setVxlan } from '../../../src/wire/rtnl/vxlan.ts'
import { holds } from '../../base/law.ts'
import {
  agrees,
  type GoldenRow,
  goldenMessages,
  linkShape,
  neighbourShape,
  routeShape,
  titleOf,
} from '../golden.ts'
import { address, bytes, link, mac, prefix } from '../values.ts'

const noNul = 'iproute2 leaves the NUL of the kind out; NLA_NUL_STRING takes both'
const [br0, tulle, tulle6] = [link(4), link(5), link(6)]
const device = { mac: mac('02:74:c0:00:02:01'), vni: 1, port: 8472 }
const v4 = { ...device, name: 'tulle.1', mtuBytes: 1450, local: address('192.0.2.1') }
const v6 = { ...device, name: 'tulle-v6.1', mtuBytes: 1430, local: address('2001:db8::1') }
const vxlanKind = { ours: ['18/1 = 76786c616e00'], theirs: ['18/1 = 76786c616e'] }

const peer = { link: tulle, mac: mac('02:74:c0:00:02:09'), destination: address('192.0.2.9') }
const peer6 = { ...peer, link: tulle6, destination: address('2001:db8::9') }
const pods = { destination: prefix('10.2.0.0/24'), link: tulle, gateway: address('10.2.0.0') }
const table = { ours: ['15 = fe000000'] }
const tableTwice = 'iproute2 says tables below 256 in the header only; we say them in RTA_TABLE too'

const rows: readonly GoldenRow[] = [
  {
    golden: 'link-add-vxlan',
    ours: newVxlan(v4),
    shape: linkShape,
    but: { why: noNul, ...vxlanKind },
  },
  {
    golden: 'link-add-vxlan-v6',
    ours: newVxlan(v6),
    shape: linkShape,
    but: { why: noNul, ...vxlanKind },
  },
  {
    golden: 'link-set-vxlan',
    ours: setVxlan(tulle, { vni: 1, local: address('192.0.2.2') }),
    shape: linkShape,
    but: { why: noNul, ...vxlanKind },
  },
  { golden: 'forwarding-replace-v4', ours: replaceForwarding(peer), shape: neighbourShape },
  { golden: 'forwarding-replace-v6', ours: replaceForwarding(peer6), shape: neighbourShape },
  { golden: 'forwarding-delete', ours: deleteForwarding(peer), shape: neighbourShape },
  { golden: 'forwarding-dump', ours: dumpForwarding(tulle), shape: neighbourShape },
  {
    golden: 'neighbour-delete',
    ours: deleteNeighbour({ link: tulle, address: address('10.2.0.0') }),
    shape: neighbourShape,
  },
  { golden: 'neighbour-dump-tunnel', ours: dumpNeighbours({ link: tulle }), shape: neighbourShape },
  {
    golden: 'route-replace',
    ours: replaceRoute({
      destination: prefix('10.2.0.0/24'),
      link: br0,
      gateway: address('192.0.2.9'),
      source: address('192.0.2.1'),
    }),
    shape: routeShape,
    but: { why: tableTwice, ...table },
  },
  {
    golden: 'route-delete',
    ours: deleteRoute(pods),
    shape: routeShape,
    but: {
      why: `${tableTwice}; iproute2 asks for any scope and any type, we for what we made`,
      ours: ['head 02180000fe74000100000000', ...table.ours],
      theirs: ['head 02180000fe74ff0000000000'],
    },
  },
  {
    golden: 'route-dump-protocol',
    ours: dumpRoutes(4, { protocol: 116, table: tableMain, link: tulle }),
    shape: routeShape,
  },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, row)
  })

test('decodeLink reads VXLAN devices as the kernel describes them', async (t) => {
  const links = goldenMessages('reply-vxlan').map(({ body }) => decodeLink(body))
  const found = links.flatMap(({ name, mac: own, mtuBytes, vxlan }) => {
    if (!vxlan) return []
    const { local, ...rest } = vxlan
    const ownText = own && formatMac(own)
    return [{ name, mac: ownText, mtuBytes, ...rest, local: local && formatAddress(local) }]
  })
  const shared = { mac: '02:74:c0:00:02:01', vni: 1, port: 8472, learning: false }
  const plain = { ...shared, checksums: true, parent: undefined }
  t.strictSame(found, [
    { name: 'tulle.1', mtuBytes: 1450, ...plain, local: '192.0.2.1' },
    { name: 'tulle-v6.1', mtuBytes: 1430, ...plain, local: '2001:db8::1' },
  ])
  t.ok(links.some(({ kind, vxlan }) => kind === 'bridge' && vxlan === undefined))
})

const forwardingText = (body: Uint8Array): string | undefined => {
  const one = decodeForwarding(body)
  if (!one) return undefined
  const to = formatAddress(one.destination)
  return `${formatMac(one.mac)} dev ${one.link} dst ${to}${one.permanent ? ' permanent' : ''}`
}

test('decodeForwarding reads what the kernel says', async (t) => {
  const found = goldenMessages('reply-forwarding').flatMap(({ type, body }) =>
    type === 28 ? [forwardingText(body)] : [],
  )
  t.strictSame(found, ['02:74:c0:00:02:09 dev 5 dst 192.0.2.9 permanent'])
})

const dst = attribute(1, bytes('c0000209'))
const lladdr = attribute(2, bytes('0274c0000209'))
const bridgeHead = bytes('07000000 05000000 8000 0200')
for (const { why, parts, want } of [
  {
    why: 'learnt: not permanent',
    parts: [bytes('07000000 05000000 0200 0200'), lladdr, dst],
    want: '02:74:c0:00:02:09 dev 5 dst 192.0.2.9',
  },
  { why: "a bridge's own entry leads to a port", parts: [bridgeHead, lladdr], want: undefined },
  { why: 'no MAC', parts: [bridgeHead, dst], want: undefined },
  {
    why: 'a neighbour of a family',
    parts: [bytes('02000000 05000000 8000 0000'), lladdr, dst],
    want: undefined,
  },
])
  test(`decodeForwarding: ${why}`, async (t) => {
    t.equal(forwardingText(Buffer.concat(parts)), want)
  })

const anyAddress: fc.Arbitrary<Address> = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): Address => ({ family: 4, value })),
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value): Address => ({ family: 6, value })),
)
const anyForwarding: fc.Arbitrary<Forwarding> = fc.record({
  link: fc.integer({ min: 1, max: 0x7fff_ffff }).map(link),
  mac: fc.uint8Array({ minLength: 6, maxLength: 6 }).map(localMac),
  destination: anyAddress,
})

test('decodeForwarding undoes replaceForwarding', async (t) => {
  const law = fc.property(anyForwarding, (one) => {
    const back = forwardingText(replaceForwarding(one).body)
    const to = formatAddress(one.destination)
    return back === `${formatMac(one.mac)} dev ${one.link} dst ${to} permanent`
  })
  holds(t, law)
})

test('decodeRoute reads source and onlink', async (t) => {
  const found = goldenMessages('reply-route-source').flatMap(({ type, body }) => {
    const route = type === 24 ? decodeRoute(body) : undefined
    return route ? [route] : []
  })
  t.equal(found.length, 1)
  const [route] = found
  t.equal(route && formatPrefix(route.destination), '10.2.0.0/24')
  t.match(route, { gateway: address('10.2.0.0'), source: address('10.1.0.0'), onlink: true })
  t.match(route, { link: tulle, protocol: 116, table: 254 })
  const undone = decodeRoute(replaceRoute({ ...pods, onlink: true }).body)
  t.match(undone, { ...pods, onlink: true })
  t.equal(undone?.source, undefined)
})
