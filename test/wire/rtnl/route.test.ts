import fc from 'fast-check'
import { test } from 'tap'
import { type Address, formatAddress } from '../../../src/base/address.ts'
import { formatPrefix } from '../../../src/base/prefix.ts'
import { attribute, nested, u32 } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import { newLocalRoute } from '../../../src/wire/rtnl/local-route.ts'
import {
  decodeRoute,
  dumpRoutes,
  getRoute,
  newRoute,
  type ObservedRoute,
  protocolTulle,
  type Route,
} from '../../../src/wire/rtnl/route.ts'
import { holds } from '../../base/law.ts'
import { agrees, type GoldenRow, linesOf, readGolden, routeShape, titleOf } from '../golden.ts'
import { address, bytes, link, prefix } from '../values.ts'

const br0 = link(4)
const table = { ours: ['15 = fe000000'] }
const tableTwice = 'iproute2 says tables below 256 in the header only; we say them in RTA_TABLE too'

const rows: readonly Omit<GoldenRow, 'shape'>[] = [
  {
    golden: 'route-add-scope-link',
    ours: newRoute({ link: br0, destination: prefix('10.1.0.5/32') }),
    but: { why: tableTwice, ...table },
  },
  {
    golden: 'route-add-onlink',
    ours: newRoute({
      link: br0,
      destination: prefix('0.0.0.0/0'),
      gateway: address('10.9.9.9'),
      onlink: true,
    }),
    but: { why: tableTwice, ...table },
  },
  {
    golden: 'route-add-metrics',
    ours: newRoute({
      link: br0,
      destination: prefix('10.2.0.0/16'),
      gateway: address('192.0.2.9'),
      mtuBytes: 1300,
      advmssBytes: 1200,
      priority: 77,
    }),
    but: { why: tableTwice, ...table },
  },
  {
    golden: 'route-add-local',
    ours: newLocalRoute(br0),
    but: { why: 'attributes in another order' },
  },
  {
    golden: 'route-add-table',
    ours: newRoute({
      link: br0,
      destination: prefix('10.2.0.0/16'),
      gateway: address('192.0.2.9'),
      table: 1000,
    }),
    but: { why: 'attributes in another order' },
  },
  {
    golden: 'route-add-v6',
    ours: newRoute({ link: br0, destination: prefix('2001:db8:1::/64') }),
    but: {
      why: `${tableTwice}; IPv6 does not look at rtm_scope, and iproute2 leaves it zero`,
      ours: ['head 0a400000fe74fd0100000000', '15 = fe000000'],
      theirs: ['head 0a400000fe74000100000000'],
    },
  },
  {
    golden: 'route-add-v6-default',
    ours: newRoute({
      link: br0,
      destination: prefix('::/0'),
      gateway: address('fe80::1'),
      onlink: true,
    }),
    but: {
      why: `${tableTwice}; iproute2 spells the destination of no bits out`,
      ...table,
      theirs: ['1 = 00000000000000000000000000000000'],
    },
  },
  {
    golden: 'route-get',
    ours: getRoute(address('192.0.2.77')),
    but: {
      why: 'iproute2 sets RTM_F_LOOKUP_TABLE too: the answer names its table to us by RTA_TABLE',
      ours: ['head 022000000000000000200000'],
      theirs: ['head 022000000000000000300000'],
    },
  },
  {
    golden: 'route-dump',
    ours: dumpRoutes(4),
    but: {
      why: 'iproute2 asks for every family at once',
      ours: ['head 020000000000000000000000'],
      theirs: ['head 000000000000000000000000'],
    },
  },
  { golden: 'route-dump-link', ours: dumpRoutes(4, { link: link(4) }) },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, { ...row, shape: routeShape })
  })

const linesOfRoute = (route: Route): readonly string[] => {
  const { type, flags, body } = newRoute(route)
  return linesOf({ type, flags, body: Buffer.from(body) }, routeShape)
}

// head: family, dst_len, src_len, tos, table, protocol 0x74 = 116, scope, type, flags
const to = { link: br0, destination: prefix('10.2.0.0/16') }
const via = { ...to, gateway: address('10.1.0.1') }
for (const row of [
  { why: 'no gateway: on the link', route: to, head: '02100000' + 'fe74fd01' + '00000000' },
  { why: 'a gateway: anywhere', route: via, head: '02100000' + 'fe740001' + '00000000' },
  {
    why: 'the scope that is asked for',
    route: { ...to, scope: 254 },
    head: '02100000' + 'fe74fe01' + '00000000',
  },
  {
    why: 'scope 0 is asked for as well',
    route: { ...to, scope: 0 },
    head: '02100000' + 'fe740001' + '00000000',
  },
  {
    why: 'table 255 fits the header',
    route: { ...to, table: 255 },
    head: '02100000' + 'ff74fd01' + '00000000',
  },
  {
    why: 'table 256 does not',
    route: { ...to, table: 256 },
    head: '02100000' + '0074fd01' + '00000000',
  },
  {
    why: 'a gateway that no route leads to',
    route: { ...via, onlink: true },
    head: '02100000' + 'fe740001' + '04000000',
  },
] as const)
  test(`newRoute header: ${row.why}`, async (t) => {
    t.equal(linesOfRoute(row.route)[2], `head ${row.head}`)
  })

for (const row of [
  { why: 'table 256', route: { ...to, table: 256 }, want: '15 = 00010000' },
  { why: 'the largest table', route: { ...to, table: 0xffff_ffff }, want: '15 = ffffffff' },
  { why: 'priority 0 is a priority', route: { ...to, priority: 0 }, want: '6 = 00000000' },
  { why: 'mtu alone', route: { ...to, mtuBytes: 1400 }, want: '8/2 = 78050000' },
  { why: 'advmss alone', route: { ...to, advmssBytes: 1360 }, want: '8/8 = 50050000' },
  { why: 'a gateway', route: via, want: '5 = 0a010001' },
])
  test(`newRoute states ${row.why}`, async (t) => {
    t.ok(linesOfRoute(row.route).includes(row.want))
  })

test('newRoute leaves out what is not asked for', async (t) => {
  t.strictSame(linesOfRoute({ link: br0, destination: prefix('0.0.0.0/0') }).slice(3), [
    '4 = 04000000',
    '15 = fe000000',
  ])
})

const textOf = (one: ObservedRoute | undefined): string | undefined =>
  one &&
  `${formatPrefix(one.destination)} via ${one.gateway ? formatAddress(one.gateway) : '-'} ` +
    `dev ${one.link ?? '-'} table ${one.table} proto ${one.protocol} metric ${one.priority}`

test('decodeRoute reads what the kernel says of its tables', async (t) => {
  const found = decodeReplies(readGolden('reply-routes')).flatMap((reply) =>
    reply.kind === 'message' ? [textOf(decodeRoute(reply.message.body))] : [],
  )
  // proto: boot 3, kernel 2; table: main 254, local 255
  t.strictSame(found, [
    '10.2.0.0/16 via 192.0.2.9 dev 4 table 1000 proto 116 metric 77',
    '10.3.0.0/16 via - dev - table 254 proto 3 metric 0',
    '10.4.0.0/16 via - dev - table 254 proto 3 metric 0',
    '192.0.2.0/24 via - dev 4 table 254 proto 2 metric 0',
    '127.0.0.0/8 via - dev 1 table 255 proto 2 metric 0',
    '127.0.0.1/32 via - dev 1 table 255 proto 2 metric 0',
    '127.255.255.255/32 via - dev 1 table 255 proto 2 metric 0',
    '192.0.2.1/32 via - dev 4 table 255 proto 2 metric 0',
    '192.0.2.255/32 via - dev 4 table 255 proto 2 metric 0',
  ])
})

test('decodeRoute reads the answer to getRoute: the route itself, not the address', async (t) => {
  const [reply] = decodeReplies(readGolden('reply-route'))
  const found = reply?.kind === 'message' ? decodeRoute(reply.message.body) : undefined
  t.equal(textOf(found), '192.0.2.0/24 via - dev 4 table 254 proto 2 metric 0')
})

const head = (family: string): Uint8Array => bytes(`${family}100000 fe740001 00000000`)
const plain = '10.2.0.0/16 via - dev - table 254 proto 116 metric 0'
const dst = attribute(1, bytes('0a020000'))
for (const row of [
  {
    why: 'the header alone: the default route',
    parts: [head('02')],
    want: plain.replace('10.2', '0.0'),
  },
  {
    why: 'RTA_TABLE over the header',
    parts: [head('02'), dst, u32(15, 1000)],
    want: plain.replace('254', '1000'),
  },
  {
    why: 'the last of two',
    parts: [head('02'), dst, u32(4, 7), u32(4, 8)],
    want: plain.replace('dev -', 'dev 8'),
  },
  {
    why: 'metrics are passed over',
    parts: [head('02'), dst, nested(8, [u32(2, 1400)])],
    want: plain,
  },
  {
    why: 'an IPv4 route by way of IPv6 (RTA_VIA) has no gateway of ours',
    parts: [head('02'), dst, attribute(18, bytes('0a00fe80'))],
    want: plain,
  },
  {
    why: 'a route of multicast routing (RTNL_FAMILY_IPMR)',
    parts: [head('80'), dst],
    want: undefined,
  },
  { why: 'an MPLS route', parts: [head('1c'), dst], want: undefined },
])
  test(`decodeRoute: ${row.why}`, async (t) => {
    t.equal(textOf(decodeRoute(Buffer.concat(row.parts))), row.want)
  })

const anyRoute: fc.Arbitrary<Route> = fc.constantFrom(4 as const, 6 as const).chain((family) => {
  const one = fc
    .bigInt({ min: 0n, max: 2n ** (family === 4 ? 32n : 128n) - 1n })
    .map((value): Address => ({ family, value }))
  const u32Value = fc.nat(0xffff_ffff)
  const required = {
    link: fc.integer({ min: 1, max: 0x7fff_ffff }).map(link),
    destination: fc.record({
      address: one,
      bits: fc.integer({ min: 1, max: family === 4 ? 32 : 128 }),
    }),
  }
  const optional = { gateway: one, scope: fc.nat(255), priority: u32Value, mtuBytes: u32Value }
  return fc.record(
    {
      ...required,
      ...optional,
      table: fc.integer({ min: 1, max: 0xffff_ffff }),
      advmssBytes: u32Value,
    },
    { requiredKeys: ['link', 'destination'] },
  )
})

test('decodeRoute undoes newRoute', async (t) => {
  const law = fc.property(anyRoute, (route) => {
    const { destination, gateway, table: number = 254, priority = 0 } = route
    const want = { destination, link: route.link, gateway, table: number, protocol: protocolTulle }
    return textOf(decodeRoute(newRoute(route).body)) === textOf({ ...want, priority })
  })
  holds(t, law, 1000)
})
