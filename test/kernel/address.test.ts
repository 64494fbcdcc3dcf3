import { test } from 'tap'
import { formatPrefix } from '../../src/base/prefix.ts'
import { RouteSocket } from '../../src/kernel/route-socket.ts'
import { encodeMessage } from '../../src/wire/netlink/message.ts'
import { deleteAddress, dumpAddresses, newAddress } from '../../src/wire/rtnl/address.ts'
import { newBridge, setLink } from '../../src/wire/rtnl/link.ts'
import { link, mac, prefix } from '../wire/values.ts'
import { datagram, done, FakeNative } from './fake-native.ts'
import { type Room, refusalOf, withRoom } from './sockets.ts'

/** A bridge without ports takes addresses; IPv6 ones would stay tentative for ever under DAD. */
function addBridge({ rtnl, route }: Room, name = 'br0') {
  rtnl.ask('add', newBridge({ name, mac: mac('0a:58:0a:01:00:02'), mtuBytes: 1500 }))
  const link = route.link({ name })?.index
  if (link === undefined) throw new Error(`Cannot find ${name}`)
  rtnl.ask('free of link-local', setLink({ index: link, noLinkLocal: true }))
  rtnl.ask('up', setLink({ index: link, up: true }))
  return link
}

type IpAddress = { readonly local: string; readonly prefixlen: number }
const addressesOf = ({ netns }: Room, name: string): readonly IpAddress[] =>
  netns.ipJson('address', 'show', 'dev', name).flatMap(({ addr_info: list }) => list as IpAddress[])
const routesOf = ({ netns }: Room): readonly unknown[] =>
  ['-4', '-6'].flatMap((family) =>
    netns.ipJson(family, 'route', 'show', 'dev', 'br0').map(({ dst }) => dst),
  )

for (const row of [
  { prefix: '10.1.0.1/24', noPrefixRoute: false, want: {}, routes: ['10.1.0.0/24'] },
  { prefix: '10.1.0.1/24', noPrefixRoute: true, want: { noprefixroute: true }, routes: [] },
  { prefix: '10.1.0.5/32', noPrefixRoute: true, want: { noprefixroute: true }, routes: [] },
  { prefix: '10.1.0.2/31', noPrefixRoute: false, want: {}, routes: ['10.1.0.2/31'] },
  { prefix: 'fd00::1/64', noPrefixRoute: false, want: { nodad: true }, routes: ['fd00::/64'] },
  {
    prefix: 'fd00::1/64',
    noPrefixRoute: true,
    want: { nodad: true, noprefixroute: true },
    // the address itself is in table local
    routes: [],
  },
  {
    prefix: 'fd00::5/128',
    noPrefixRoute: true,
    want: { nodad: true, noprefixroute: true },
    routes: [],
  },
])
  test(`newAddress ${row.prefix}, noPrefixRoute ${row.noPrefixRoute}: \`ip\` reads it`, (t) =>
    withRoom((room) => {
      const link = addBridge(room)
      room.rtnl.ask('add', newAddress({ ...row, link, prefix: prefix(row.prefix) }))
      const [found, ...others] = addressesOf(room, 'br0')
      t.equal(`${found?.local}/${found?.prefixlen}`, row.prefix)
      t.match(found, { ...row.want, scope: 'global' })
      t.equal(found && 'tentative' in found, false, 'in use at once')
      t.strictSame(others, [])
      t.strictSame(routesOf(room), row.routes)
      t.strictSame(room.route.addresses(link).map(formatPrefix), [row.prefix])
    }))

test('a second newAddress is refused (EEXIST), deleteAddress takes it away', (t) =>
  withRoom((room) => {
    const link = addBridge(room)
    const one = { link, prefix: prefix('10.1.0.1/24'), noPrefixRoute: false }
    room.rtnl.ask('add', newAddress(one))
    const refusal = refusalOf(() => room.rtnl.ask('add', newAddress(one)))
    t.match(refusal, { errno: 17, message: /Address already assigned/ })
    room.rtnl.ask('delete', deleteAddress(one))
    t.strictSame(addressesOf(room, 'br0'), [])
    t.match(
      refusalOf(() => room.rtnl.ask('delete', deleteAddress(one))),
      { errno: 99 },
    )
  }))

test('deleteAddress takes away the one that is named', (t) =>
  withRoom((room) => {
    const link = addBridge(room)
    for (const text of ['10.1.0.1/24', '10.1.0.2/24', 'fd00::1/64'])
      room.rtnl.ask('add', newAddress({ link, prefix: prefix(text), noPrefixRoute: false }))
    room.rtnl.ask(
      'delete',
      deleteAddress({ link, prefix: prefix('10.1.0.2/24'), noPrefixRoute: false }),
    )
    t.strictSame(room.route.addresses(link).map(formatPrefix), ['10.1.0.1/24', 'fd00::1/64'])
  }))

test('addresses of `ip`: peer, broadcast, label, lifetimes; of one link only', (t) =>
  withRoom((room) => {
    const [br0, br1] = [addBridge(room, 'br0'), addBridge(room, 'br1')]
    const { netns, route, rtnl } = room
    netns.ip('address', 'add', '10.1.0.1', 'peer', '10.1.0.2/32', 'dev', 'br0')
    netns.ip('address', 'add', '10.2.0.1/16', 'broadcast', '+', 'label', 'br0:one', 'dev', 'br0')
    netns.ip('address', 'add', 'fd00::1', 'peer', 'fd00::2/128', 'nodad', 'dev', 'br0')
    netns.ip(
      'address',
      'add',
      'fd00::3/64',
      'valid_lft',
      '100',
      'preferred_lft',
      '50',
      'dev',
      'br0',
    )
    netns.ip('address', 'add', '10.9.0.1/24', 'dev', 'br1')
    const want = addressesOf(room, 'br0').map(({ local, prefixlen }) => `${local}/${prefixlen}`)
    t.strictSame(route.addresses(br0).map(formatPrefix), want)
    t.strictSame(want, ['10.1.0.1/32', '10.2.0.1/16', 'fd00::3/64', 'fd00::1/128'])
    t.strictSame(route.addresses(br1).map(formatPrefix), ['10.9.0.1/24'])
    t.equal(rtnl.ask('list', dumpAddresses(br1)).length, 1, 'the kernel filters: strict checking')
  }))

test('addresses of one link, from a kernel that answers those of every link', async (t) => {
  const answer = (index: number, text: string) => (sequence: number) => {
    const { body } = newAddress({ link: link(index), prefix: prefix(text), noPrefixRoute: false })
    return encodeMessage({ type: 20, flags: 2, sequence, body })
  }
  const all = datagram(answer(3, '10.1.0.3/24'), answer(4, '10.1.0.4/24'), done())
  const route = new RouteSocket(new FakeNative([[all]]).native, -1, 'the fake')
  t.strictSame(route.addresses(link(4)).map(formatPrefix), ['10.1.0.4/24'])
})

for (const row of [
  { why: 'a link that is not there', link: 4711, prefix: '10.1.0.1/24', errno: 19 },
  { why: 'an IPv6 multicast address', link: undefined, prefix: 'ff02::1/64', errno: 99 },
])
  test(`newAddress is refused: ${row.why}`, (t) =>
    withRoom((room) => {
      const link = addBridge(room)
      const wrong = { link: (row.link ?? link) as typeof link, prefix: prefix(row.prefix) }
      const refusal = refusalOf(() =>
        room.rtnl.ask('add', newAddress({ ...wrong, noPrefixRoute: false })),
      )
      t.equal(refusal?.errno, row.errno)
      t.strictSame(addressesOf(room, 'br0'), [])
    }))
