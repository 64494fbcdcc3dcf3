import { closeSync, openSync } from 'node:fs'
import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { formatMac } from '../../src/base/mac.ts'
import {
  deleteLink,
  type IfIndex,
  type LinkChange,
  newBridge,
  newVeth,
  probeVeth,
  setAlias,
  setBridgePort,
  setLink,
} from '../../src/wire/rtnl/link.ts'
import type { Link } from '../../src/wire/rtnl/observed-link.ts'
import { makeNetns, type Netns, run } from '../support/netns.ts'
import { mac } from '../wire/values.ts'
import { ipLink, type Room, refusalOf, withRoom } from './sockets.ts'

const hostMac = mac('0a:58:0a:01:00:01')
const podMac = mac('0a:58:0a:01:00:05')
const bridgeMac = mac('0a:58:0a:01:00:02')
const bridge = newBridge({ name: 'br0', mac: bridgeMac, mtuBytes: 1400 })

async function withPod(use: (pod: Netns, fd: number) => void): Promise<void> {
  const pod = makeNetns('pod')
  const fd = openSync(pod.path, 'r')
  try {
    use(pod, fd)
  } finally {
    closeSync(fd)
    pod.close()
  }
}

const veth = (netnsFd: number) =>
  newVeth({
    host: { name: 'host0', mac: hostMac },
    pod: { name: 'eth0', mac: podMac, netnsFd },
    mtuBytes: 1400,
  })

function linkOf({ route }: Room, name: string): Link {
  const found = route.link({ name })
  if (!found) throw new Error(`Cannot find ${name}`)
  return found
}
const indexOf = (room: Room, name: string): IfIndex => linkOf(room, name).index

test('newVeth makes both ends at once, the far one in the pod under its own name', (t) =>
  withRoom(({ netns, rtnl }) =>
    withPod((pod, fd) => {
      rtnl.ask('add', veth(fd))
      const [near, far] = [ipLink(netns, 'host0'), ipLink(pod, 'eth0')]
      t.match(near, { mtu: 1400, address: '0a:58:0a:01:00:01', linkinfo: { info_kind: 'veth' } })
      t.match(far, { mtu: 1400, address: '0a:58:0a:01:00:05', linkinfo: { info_kind: 'veth' } })
      t.notOk([...near.flags, ...far.flags].includes('UP'))
    }),
  ))

test('newVeth that the pod refuses (its eth0 is there) leaves no host end', (t) =>
  withRoom((room) =>
    withPod((pod, fd) => {
      pod.ip('link', 'add', 'eth0', 'type', 'bridge')
      t.match(
        refusalOf(() => room.rtnl.ask('add', veth(fd))),
        { errno: 17 },
      )
      t.equal(room.route.link({ name: 'host0' }), undefined)
    }),
  ))

test('newBridge makes a bridge whose MAC stays when ports come', (t) =>
  withRoom((room) =>
    withPod((_, fd) => {
      room.rtnl.ask('add', bridge)
      room.rtnl.ask('add', veth(fd))
      const [host0, br0] = [indexOf(room, 'host0'), indexOf(room, 'br0')]
      room.rtnl.ask('enslave', setLink({ index: host0, master: br0 }))
      const found = ipLink(room.netns, 'br0')
      t.match(found, { mtu: 1400, address: '0a:58:0a:01:00:02', linkinfo: { info_kind: 'bridge' } })
    }),
  ))

const changes: readonly {
  why: string
  of: string
  change: (br0: IfIndex) => Omit<LinkChange, 'index'>
  want: object
}[] = [
  { why: 'up', of: 'br0', change: () => ({ up: true }), want: { flags: /UP/ } },
  { why: 'promisc', of: 'br0', change: () => ({ promisc: true }), want: { flags: /PROMISC/ } },
  {
    why: 'all multicast',
    of: 'host0',
    change: () => ({ allmulti: true }),
    want: { flags: /ALLMULTI/ },
  },
  {
    why: 'queue length',
    of: 'host0',
    change: () => ({ txQueueLength: 321 }),
    want: { txqlen: 321 },
  },
  { why: 'MTU', of: 'host0', change: () => ({ mtuBytes: 1280 }), want: { mtu: 1280 } },
  { why: 'master', of: 'host0', change: (br0) => ({ master: br0 }), want: { master: 'br0' } },
  {
    why: 'no link-local address',
    of: 'host0',
    change: () => ({ noLinkLocal: true }),
    want: { inet6_addr_gen_mode: 'none' },
  },
  {
    why: 'all at once',
    of: 'host0',
    change: (br0) => ({ up: true, promisc: true, master: br0, mtuBytes: 1300, noLinkLocal: true }),
    want: {
      flags: /UP.*PROMISC|PROMISC.*UP/,
      master: 'br0',
      mtu: 1300,
      inet6_addr_gen_mode: 'none',
    },
  },
]
test('setLink: what is sent is what `ip` reads, and nothing else changes', (t) =>
  withRoom((room) =>
    withPod((_, fd) => {
      room.rtnl.ask('add', bridge)
      for (const { why, of, change, want } of changes) {
        room.rtnl.ask('add', veth(fd))
        const before = ipLink(room.netns, of)
        const index = indexOf(room, of)
        room.rtnl.ask(why, setLink({ index, ...change(indexOf(room, 'br0')) }))
        const after = ipLink(room.netns, of)
        t.match({ ...after, flags: after.flags.join(' ') }, want, why)
        const changed = Object.keys(after).filter(
          (key) =>
            JSON.stringify(Reflect.get(after, key)) !== JSON.stringify(Reflect.get(before, key)),
        )
        const besides = ['flags', 'operstate', 'linkinfo', 'promiscuity', 'allmulti', 'qdisc']
        t.strictSame(
          changed.filter((key) => !besides.includes(key) && !(key in want)),
          [],
          why,
        )
        room.rtnl.ask('delete', deleteLink({ name: 'host0' }))
      }
    }),
  ))

test("an alias, a port's flags: `ip` and decodeLink read what was sent", (t) =>
  withRoom((room) =>
    withPod((_, fd) => {
      const { rtnl, netns } = room
      rtnl.ask('add', bridge)
      rtnl.ask('add', veth(fd))
      rtnl.ask('alias', setAlias('host0', 'tulle1 10.1.0.5 eth0 net id'))
      t.equal(ipLink(netns, 'host0').ifalias, 'tulle1 10.1.0.5 eth0 net id')
      const [index, master] = [indexOf(room, 'host0'), indexOf(room, 'br0')]
      const early = setBridgePort(index, { hairpin: true, isolated: true })
      t.match(
        refusalOf(() => rtnl.ask('port', early)),
        { errno: 95 },
      )
      rtnl.ask('enslave', setLink({ index, master }))
      for (const port of [
        { hairpin: true, isolated: false },
        { hairpin: false, isolated: true },
        { hairpin: true, isolated: true },
        { hairpin: false, isolated: false },
      ]) {
        rtnl.ask('port', setBridgePort(index, port))
        t.match(ipLink(netns, 'host0').linkinfo?.info_slave_data, port)
        t.match(linkOf(room, 'host0').port, port)
      }
      t.match(linkOf(room, 'host0'), { alias: 'tulle1 10.1.0.5 eth0 net id', master, kind: 'veth' })
    }),
  ))

for (const { why, length, taken } of [
  { why: 'IFALIASZ - 1 with its NUL', length: 254, taken: true },
  { why: 'one byte more', length: 255, taken: false },
])
  test(`setAlias of ${length} bytes, ${why}: taken is ${taken}`, (t) =>
    withRoom((room) => {
      const { rtnl } = room
      rtnl.ask('add', bridge)
      const [fared] = rtnl.exchange([setAlias('br0', 'a'.repeat(length))])
      t.equal(fared?.errno === 0, taken)
      t.equal(linkOf(room, 'br0').alias?.length, taken ? length : undefined)
    }))

test('decodeLink reads what `ip` made', (t) =>
  withRoom((room) => {
    const { netns, route } = room
    netns.ip('link', 'add', 'br7', 'address', '02:00:00:00:00:07', 'mtu', '1450', 'type', 'bridge')
    netns.ip('link', 'add', 'one', 'index', '70', 'type', 'veth', 'peer', 'name', 'two')
    netns.ip('link', 'set', 'one', 'master', 'br7', 'alias', 'pøđ one', 'up')
    netns.ip('link', 'set', 'one', 'type', 'bridge_slave', 'isolated', 'on')
    netns.ip('link', 'set', 'br7', 'promisc', 'on')
    for (const found of route.links()) {
      const want = ipLink(netns, found.name)
      t.equal(found.index, want.ifindex)
      t.equal(found.mtuBytes, want.mtu)
      t.equal(found.mac && formatMac(found.mac), want.address)
      t.equal(found.alias, want.ifalias)
      t.equal(found.kind, want.linkinfo?.info_kind)
      t.equal((found.flags & 1) !== 0, want.flags.includes('UP'))
      t.equal((found.flags & 0x100) !== 0, want.flags.includes('PROMISC'))
      t.equal(found.master && route.link({ index: found.master })?.name, want.master)
      const port = want.linkinfo?.info_slave_data
      const { hairpin, isolated, state } = port ?? {}
      t.strictSame(found.port, port && { hairpin, isolated, isForwarding: state === 'forwarding' })
      t.equal(found.isOperational, want.operstate === 'UP')
    }
    const names = netns.ipJson('link', 'show').map(({ ifname }) => ifname)
    t.strictSame(
      route
        .links()
        .map(({ name }) => name)
        .sort(),
      [...names].sort(),
    )
    t.equal(linkOf(room, 'one').index, 70)
  }))

test('a pair in a bridge becomes operational and forwards; setDown and its end do not', (t) =>
  withRoom((room) =>
    withPod((pod, fd) => {
      const { rtnl, route, netns } = room
      rtnl.exchange([bridge, veth(fd)])
      const [host0, br0] = [indexOf(room, 'host0'), indexOf(room, 'br0')]
      rtnl.ask('up', setLink({ index: br0, up: true }))
      rtnl.ask('up', setLink({ index: host0, master: br0, up: true }))
      t.match(linkOf(room, 'host0'), { isOperational: false, port: { isForwarding: false } })
      pod.ip('link', 'set', 'eth0', 'up')
      // the kernel's link watch says so when it comes to it, within a second
      for (let tries = 0; tries < 100 && !linkOf(room, 'br0').isOperational; tries++)
        run(['sleep', '0.02'])
      t.match(linkOf(room, 'host0'), { isOperational: true, port: { isForwarding: true } })
      t.equal(ipLink(netns, 'host0').operstate, 'UP')
      t.equal(ipLink(netns, 'host0').linkinfo?.info_slave_data?.state, 'forwarding')
      t.equal(route.setDown('host0'), true)
      t.equal(route.setDown('nosuch'), false)
      t.equal(ipLink(netns, 'host0').flags.includes('UP'), false)
      t.match(linkOf(room, 'host0'), { isOperational: false, port: { isForwarding: false } })
    }),
  ))

test('create makes a link, or says that one of that name is there', (t) =>
  withRoom(({ route }) => {
    const step = { what: 'create bridge br0', query: bridge }
    t.equal(route.create(step), true)
    t.equal(route.create(step), false)
    const odd = {
      what: 'create a bridge',
      query: newBridge({ name: 'a/b', mac: bridgeMac, mtuBytes: 1500 }),
    }
    t.match(
      refusalOf(() => route.create(odd))?.message,
      /^Cannot create a bridge \(the room\): EINVAL/,
    )
  }))

test('looking a link up: by name, by index, and not there', (t) =>
  withRoom(({ route }) => {
    t.equal(route.link({ name: 'lo' })?.index, 1)
    t.equal(route.link({ index: 1 as IfIndex })?.name, 'lo')
    t.equal(route.link({ name: 'nosuch' }), undefined)
    t.equal(route.link({ index: 4711 as IfIndex }), undefined)
    // ERANGE: no link can have such a name
    t.match(
      refusalOf(() => route.link({ name: 'a-name-of-sixteen' })),
      { errno: 34 },
    )
  }))

test('deleteLink takes both ends; a second time says that it was gone', (t) =>
  withRoom((room) =>
    withPod((pod, fd) => {
      room.rtnl.ask('add', veth(fd))
      t.equal(room.route.deleteLink('host0'), true)
      t.equal(room.route.deleteLink('host0'), false)
      t.strictSame(
        pod.ipJson('link', 'show').map(({ ifname }) => ifname),
        ['lo'],
      )
    }),
  ))

test('deleteLink of a link that can not be deleted is refused, with the reason', (t) =>
  withRoom(({ route, rtnl }) => {
    const refusal = refusalOf(() => route.deleteLink('lo'))
    t.match(refusal, { errno: 95, message: /^Cannot delete link lo: E(OP)?NOTSUPP?/ })
    t.equal(rtnl.exchange([deleteLink({ name: 'lo' })])[0]?.errno, 95)
  }))

test('probeVeth tells that veth is there, and makes nothing', (t) =>
  withRoom(({ route, rtnl }) => {
    t.equal(route.canMake(probeVeth()), true)
    t.equal(route.links().length, 1)
    const unknown = { ...probeVeth(), body: Uint8Array.from(probeVeth().body) }
    // "veth" → "vexh": a kind that no kernel has
    unknown.body[Buffer.from(unknown.body).indexOf('veth') + 2] = 0x78
    t.equal(rtnl.exchange([unknown])[0]?.errno, 95)
    t.equal(route.canMake(unknown), false)
  }))

const names = ({ netns }: Room): readonly string[] =>
  netns.ipJson('link', 'show').map(({ ifname }) => String(ifname))

test("deleteLinks takes those that are there, and nobody else's", (t) =>
  withRoom((room) =>
    withPod((pod, fd) => {
      room.rtnl.ask('add', veth(fd))
      room.rtnl.ask('add', bridge)
      for (const name of ['ifb7', 'ifb8', 'ifb9']) room.netns.ip('link', 'add', name, 'type', 'ifb')
      room.netns.ip('link', 'set', 'ifb9', 'group', '1116')
      room.route.deleteLinks(['ifb7', 'gone0', 'host0', 'ifb8'])
      t.strictSame(names(room), ['lo', 'br0', 'ifb9'])
      t.strictSame(pod.ipJson('link', 'show').length, 1, 'the far end has gone with its own')
      room.route.deleteLinks([])
      room.route.deleteLinks(['gone0'])
      room.route.deleteLinks(['gone0', 'gone1'])
      t.strictSame(names(room), ['lo', 'br0', 'ifb9'], 'nothing is not the group of all')
      room.route.deleteLinks(['ifb9'])
      t.strictSame(names(room), ['lo', 'br0'])
    }),
  ))

test('deleteLinks takes more than one send takes', (t) =>
  withRoom((room) => {
    const all = Array.from({ length: 505 }, (_, at) => `doomed${at}`)
    const lines = all.slice(-3).map((name) => `link add ${name} type ifb`)
    for (const line of lines) room.netns.ip(...line.split(' '))
    room.route.deleteLinks(all)
    t.strictSame(names(room), ['lo'])
  }))

test('routes, neighbours and qdiscs are told of one link alone', (t) =>
  withRoom((room) => {
    for (const name of ['ifb7', 'ifb8']) {
      room.netns.ip('link', 'add', name, 'type', 'ifb')
      room.netns.ip('link', 'set', name, 'up')
      const digit = name.slice(-1)
      room.netns.ip('address', 'add', `10.${digit}.0.1/24`, 'dev', name)
      room.netns.ip('-6', 'route', 'add', `fd00:${digit}::/64`, 'dev', name)
      const mac = '0a:58:0a:01:00:05'
      room.netns.ip('neighbour', 'add', `10.${digit}.0.5`, 'lladdr', mac, 'dev', name)
    }
    const index = indexOf(room, 'ifb8')
    for (const family of [4, 6] as const) {
      const all = room.route.routes(family)
      const own = all.filter((one) => one.link === index)
      t.ok(own.length > 0 && own.length < all.length)
      t.strictSame(room.route.routes(family, { link: index }), own)
    }
    const neighbours = room.route.neighbours({ link: index }).filter(({ permanent }) => permanent)
    t.strictSame(
      neighbours.map(({ address }) => formatAddress(address)),
      ['10.8.0.5'],
    )
    t.strictSame(
      room.route.qdiscs([index]).map(({ link }) => link),
      [index],
    )
    t.equal(room.route.qdiscs([index, indexOf(room, 'ifb7')]).length, 2)
  }))
