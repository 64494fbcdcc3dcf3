import { test } from 'tap'
import { type Address, formatAddress } from '../../src/base/address.ts'
import { formatPrefix } from '../../src/base/prefix.ts'
import { newAddress } from '../../src/wire/rtnl/address.ts'
import { type IfIndex, newBridge, setLink } from '../../src/wire/rtnl/link.ts'
import { newRoute, type ObservedRoute, type Route } from '../../src/wire/rtnl/route.ts'
import { address, mac, prefix } from '../wire/values.ts'
import { type Room, refusalOf, withRoom } from './sockets.ts'

/** `br0` with 192.0.2.1/24 and 2001:db8::1/64, up. */
function addUplink({ rtnl, route }: Room): IfIndex {
  rtnl.ask('add', newBridge({ name: 'br0', mac: mac('0a:58:0a:01:00:02'), mtuBytes: 1500 }))
  const link = route.link({ name: 'br0' })?.index
  if (link === undefined) throw new Error('Cannot find br0')
  rtnl.ask('no link-local', setLink({ index: link, noLinkLocal: true }))
  rtnl.ask('up', setLink({ index: link, up: true }))
  for (const text of ['192.0.2.1/24', '2001:db8::1/64'])
    rtnl.ask('address', newAddress({ link, prefix: prefix(text), noPrefixRoute: false }))
  return link
}

type Row = Readonly<{ why: string; route: Omit<Route, 'link'>; want: object; family?: '-6' }>
const to = prefix('10.2.0.0/16')
const via = address('192.0.2.9')
const rows: readonly Row[] = [
  {
    why: 'on the link',
    route: { destination: prefix('10.1.0.5/32') },
    want: { dst: '10.1.0.5', scope: 'link', table: 'main' },
  },
  {
    why: 'through a gateway',
    route: { destination: to, gateway: via },
    want: { dst: '10.2.0.0/16', gateway: '192.0.2.9', scope: 'global' },
  },
  {
    why: 'a default route through a gateway that no route leads to',
    route: { destination: prefix('0.0.0.0/0'), gateway: address('10.9.9.9'), onlink: true },
    want: { dst: 'default', gateway: '10.9.9.9', flags: ['onlink'] },
  },
  {
    why: 'MTU and MSS',
    route: { destination: to, gateway: via, mtuBytes: 1300, advmssBytes: 1200 },
    want: { metrics: [{ mtu: 1300, advmss: 1200 }] },
  },
  {
    why: 'a metric',
    route: { destination: to, gateway: via, priority: 77 },
    want: { metric: 77 },
  },
  {
    why: 'a table of its own',
    route: { destination: to, gateway: via, table: 1000 },
    want: { dst: '10.2.0.0/16', table: '1000' },
  },
  {
    why: 'a table of eight bits',
    route: { destination: to, gateway: via, table: 100 },
    want: { dst: '10.2.0.0/16', table: '100' },
  },
  {
    why: 'the scope that is asked for',
    route: { destination: to, scope: 200 },
    want: { scope: 'site' },
  },
  {
    why: 'IPv6 on the link',
    route: { destination: prefix('fd00::5/128') },
    want: { dst: 'fd00::5', metric: 1024 },
    family: '-6',
  },
  {
    why: 'IPv6 through a gateway',
    route: { destination: prefix('::/0'), gateway: address('2001:db8::9'), priority: 5 },
    want: { dst: 'default', gateway: '2001:db8::9', metric: 5 },
    family: '-6',
  },
  {
    why: 'IPv6 through a link-local gateway',
    route: { destination: prefix('fd00:1::/64'), gateway: address('fe80::1'), onlink: true },
    want: { dst: 'fd00:1::/64', gateway: 'fe80::1', flags: ['onlink'] },
    family: '-6',
  },
  {
    why: 'IPv6 MTU, in a table of its own',
    route: { destination: prefix('fd00:1::/64'), mtuBytes: 1300, table: 1000 },
    want: { metrics: [{ mtu: 1300 }], table: '1000' },
    family: '-6',
  },
]
for (const { why, route, want, family = '-4' } of rows)
  test(`newRoute ${why}: \`ip\` and decodeRoute read it`, (t) =>
    withRoom((room) => {
      const link = addUplink(room)
      room.rtnl.ask('add', newRoute({ ...route, link }))
      const found = room.netns.ipJson(family, 'route', 'show', 'table', 'all', 'proto', '116')
      t.equal(found.length, 1)
      t.match(found[0], { dev: 'br0', ...want })
      const ours = room.route.routes(family === '-6' ? 6 : 4).filter((one) => one.protocol === 116)
      t.equal(ours.length, 1)
      t.match(ours[0], {
        destination: route.destination,
        link,
        gateway: route.gateway,
        table: route.table ?? 254,
        // IPv6 has no routes without a metric: 1024 is IP6_RT_PRIO_USER
        priority: route.priority ?? (family === '-6' ? 1024 : 0),
      })
    }))

for (const row of [
  { why: 'it is there', route: { destination: prefix('192.0.2.0/24'), priority: 0 }, errno: 17 },
  {
    why: 'no way to the gateway',
    route: { destination: to, gateway: address('10.9.9.9') },
    errno: 101,
    words: /Nexthop has invalid gateway/,
  },
  {
    why: 'host bits in the destination',
    route: { destination: prefix('10.2.0.1/16') },
    errno: 22,
    words: /Invalid prefix for given prefix length/,
  },
  {
    why: 'a scope narrower than its gateway',
    route: { destination: to, gateway: via, scope: 253 },
    errno: 101,
    words: /Nexthop has invalid gateway/,
  },
] as const)
  test(`newRoute is refused: ${row.why}`, (t) =>
    withRoom((room) => {
      const link = addUplink(room)
      const refusal = refusalOf(() =>
        room.rtnl.ask('add a route', newRoute({ ...row.route, link })),
      )
      t.equal(refusal?.errno, row.errno)
      if ('words' in row) t.match(refusal?.message, row.words)
      t.match(refusal?.message, /^Cannot add a route: E[A-Z]+/)
      t.strictSame(room.netns.ipJson('route', 'show', 'proto', '116'), [])
    }))

type IpRoute = {
  readonly dst: string
  readonly dev?: string
  readonly gateway?: string
  readonly table?: string
  readonly metric?: number
  readonly protocol: string
}
const tables: Readonly<Record<string, number>> = { local: 255, main: 254, default: 253 }
const protocols: Readonly<Record<string, number>> = { kernel: 2, boot: 3, static: 4, ra: 9 }
const ipText = ({ dst, dev, gateway, table = 'main', metric = 0, protocol }: IpRoute): string =>
  `${dst} via ${gateway ?? '-'} dev ${dev ?? '-'} table ${tables[table] ?? Number(table)} ` +
  `metric ${metric} proto ${protocols[protocol] ?? Number(protocol)}`

function ourText(room: Room, one: ObservedRoute): string {
  const { destination, gateway, link, table, priority, protocol } = one
  const { bits, address: first } = destination
  const isHost = bits === (first.family === 4 ? 32 : 128)
  const dst = bits === 0 ? 'default' : isHost ? formatAddress(first) : formatPrefix(destination)
  const dev = link === undefined ? '-' : room.route.link({ index: link })?.name
  const via = gateway ? formatAddress(gateway) : '-'
  return `${dst} via ${via} dev ${dev} table ${table} metric ${priority} proto ${protocol}`
}

for (const { family, flag, lines } of [
  {
    family: 4,
    flag: '-4',
    lines: [
      'default via 192.0.2.9 dev br0 metric 20',
      '10.3.0.0/16 nexthop via 192.0.2.9 dev br0 nexthop via 192.0.2.8 dev br0',
      'unreachable 10.4.0.0/16 metric 9',
      'blackhole 10.5.0.0/16 proto static',
      '10.6.0.0/16 via 192.0.2.9 dev br0 table 1000 mtu lock 1300 proto 116',
      '10.7.0.0/16 via inet6 2001:db8::9 dev br0',
    ],
  },
  {
    family: 6,
    flag: '-6',
    lines: [
      'default via 2001:db8::9 dev br0 metric 20',
      'unreachable fd00:4::/64',
      'fd00:5::/64 dev br0 table 4711 proto 116 mtu 1300',
    ],
  },
] as const)
  test(`decodeRoute reads every IPv${family} route that \`ip\` made, and the kernel's own`, (t) =>
    withRoom((room) => {
      addUplink(room)
      for (const line of lines) room.netns.ip(flag, 'route', 'add', ...line.split(' '))
      const want = room.netns
        .ipJson(flag, 'route', 'show', 'table', 'all')
        .map((one) => ipText(one as unknown as IpRoute))
      const found = room.route.routes(family).map((one) => ourText(room, one))
      t.ok(want.length > lines.length)
      t.strictSame([...found].sort(), [...want].sort())
    }))

const way = (room: Room, to: Address): string | undefined => {
  const found = room.route.routeTo(to)
  return found && ourText(room, found)
}

test('routeTo: the route that the kernel takes, or none', (t) =>
  withRoom((room) => {
    addUplink(room)
    t.equal(way(room, address('8.8.8.8')), undefined)
    t.equal(way(room, address('2001:4860::1')), undefined)
    const { netns } = room
    netns.ip('route', 'add', 'default', 'via', '192.0.2.9', 'metric', '5')
    netns.ip('-6', 'route', 'add', 'default', 'via', '2001:db8::9')
    netns.ip('route', 'add', 'blackhole', '10.5.0.0/16')
    netns.ip('route', 'add', 'unreachable', '10.4.0.0/16')
    netns.ip('route', 'add', 'prohibit', '10.3.0.0/16')
    t.equal(
      way(room, address('8.8.8.8')),
      'default via 192.0.2.9 dev br0 table 254 metric 5 proto 3',
    )
    t.equal(
      way(room, address('2001:4860::1')),
      'default via 2001:db8::9 dev br0 table 254 metric 1024 proto 3',
    )
    t.equal(
      way(room, address('192.0.2.77')),
      '192.0.2.0/24 via - dev br0 table 254 metric 0 proto 2',
    )
  }))

for (const kind of ['blackhole', 'unreachable', 'prohibit', 'throw'])
  test(`routeTo of a ${kind} route is no way`, (t) =>
    withRoom((room) => {
      addUplink(room)
      room.netns.ip('route', 'add', kind, '10.5.0.0/16')
      room.netns.ip('-6', 'route', 'add', kind, 'fd00:5::/64')
      t.equal(way(room, address('10.5.0.1')), undefined)
      t.equal(way(room, address('fd00:5::1')), undefined)
    }))
