// npm `netlink` as an independent codec: it reads what we write, and we read what it writes. It
// knows no NLA_F_NESTED (its writer masks the flag away), leaves nests inside IFLA_LINKINFO as
// bytes and metrics as buffers; those are put together here, from its own parts.
import * as ifla from 'netlink/dist/rt/ifla.js'
import * as rt from 'netlink/dist/rt/structs.js'
import { AttrStream, type StreamData } from 'netlink/dist/structs.js'
import { type Test, test } from 'tap'
import { addressFromBytes, formatAddress } from '../../../src/base/address.ts'
import { formatMac } from '../../../src/base/mac.ts'
import { formatPrefix } from '../../../src/base/prefix.ts'
import { decodeAddress, newAddress } from '../../../src/wire/rtnl/address.ts'
import {
  newBridge,
  newVeth,
  setAlias,
  setBridgePort,
  setLink,
} from '../../../src/wire/rtnl/link.ts'
import { decodeNeighbour, newNeighbour } from '../../../src/wire/rtnl/neighbour.ts'
import { decodeLink } from '../../../src/wire/rtnl/observed-link.ts'
import { decodeRoute, newRoute } from '../../../src/wire/rtnl/route.ts'
import { goldenMessages } from '../golden.ts'
import { address, bytes, link, mac, prefix } from '../values.ts'

const hostMac = mac('0a:58:0a:01:00:01')
const podMac = mac('0a:58:0a:01:00:05')
const buffer = (of: Uint8Array): Buffer => Buffer.from(of)
const text = (of: Buffer | undefined): string | undefined => {
  const found = of && addressFromBytes(of)
  return found && formatAddress(found)
}

test("netlink reads newVeth: both ends, the pod's in its namespace", async (t) => {
  const query = newVeth({
    host: { name: 'host0', mac: hostMac },
    pod: { name: 'eth0', mac: podMac, netnsFd: 23 },
    mtuBytes: 1400,
  })
  const { data, attrs } = rt.parseLinkMessage(buffer(query.body))
  t.match(data, { family: 0, index: 0, flags: {}, change: {} })
  t.match(attrs, { ifname: 'host0', mtu: 1400, address: buffer(hostMac) })
  const info = ifla.parseInfo(attrs.linkinfo ?? Buffer.alloc(0))
  t.equal(info.kind, 'veth')
  const { peer } = ifla.parseVethInfo(info.data ?? Buffer.alloc(0))
  const far = rt.parseLinkMessage(peer ?? Buffer.alloc(0))
  t.match(far.attrs, { ifname: 'eth0', mtu: 1400, address: buffer(podMac), netNsFd: 23 })
})

test('netlink reads newBridge', async (t) => {
  const query = newBridge({ name: 'br0', mac: hostMac, mtuBytes: 9000 })
  const { attrs } = rt.parseLinkMessage(buffer(query.body))
  t.match(attrs, { ifname: 'br0', mtu: 9000, address: buffer(hostMac) })
  t.strictSame(ifla.parseInfo(attrs.linkinfo ?? Buffer.alloc(0)).kind, 'bridge')
})

test('netlink reads setLink: flags with their mask, master, MTU, no address', async (t) => {
  const query = setLink({
    index: link(7),
    up: true,
    promisc: true,
    master: link(9),
    mtuBytes: 1400,
    noLinkLocal: true,
  })
  const { data, attrs } = rt.parseLinkMessage(buffer(query.body))
  const flags = { up: true, promisc: true }
  t.strictSame([data.index, data.flags, data.change], [7, flags, flags])
  t.match(attrs, { master: 9, mtu: 1400 })
  const inet6 = ifla.parseLinkProtocolInfoInet6(attrs.afSpec?.get(10) ?? Buffer.alloc(0))
  t.equal(inet6.addrGenMode, ifla.In6AddrGenMode.NONE)
})

test('netlink reads setAlias', async (t) => {
  const { attrs } = rt.parseLinkMessage(buffer(setAlias('host0', 'tulle1 a b').body))
  t.match(attrs, { ifname: 'host0', ifalias: 'tulle1 a b' })
})

test('netlink reads setBridgePort', async (t) => {
  const query = setBridgePort(link(7), { hairpin: true, isolated: true })
  const { data, attrs } = rt.parseLinkMessage(buffer(query.body))
  const info = ifla.parseInfo(attrs.linkinfo ?? Buffer.alloc(0))
  const port = ifla.parseBridgePort(info.slaveData ?? Buffer.alloc(0))
  t.strictSame([data.index, info.slaveKind], [7, 'bridge'])
  t.match(port, { mode: 1, isolated: buffer(bytes('01')) })
})

for (const row of [
  { prefix: '10.1.0.5/32', family: 2, flags: { noprefixroute: true } },
  { prefix: '2001:db8::5/64', family: 10, flags: { nodad: true, noprefixroute: true } },
])
  test(`netlink reads newAddress of ${row.prefix}`, async (t) => {
    const one = prefix(row.prefix)
    const query = newAddress({ link: link(7), prefix: one, noPrefixRoute: true })
    const { data, attrs } = rt.parseAddressMessage(buffer(query.body))
    t.match(data, { family: row.family, prefixlen: one.bits, index: 7, scope: 0 })
    t.strictSame(attrs.flags, row.flags)
    t.equal(text(attrs.local), formatAddress(one.address))
    t.equal(text(attrs.address), formatAddress(one.address))
  })

test('netlink reads newRoute', async (t) => {
  const query = newRoute({
    link: link(7),
    destination: prefix('10.2.0.0/16'),
    gateway: address('10.1.0.1'),
    onlink: true,
    scope: 200,
    table: 1000,
    priority: 77,
    mtuBytes: 1300,
    advmssBytes: 1200,
  })
  const { data, attrs } = rt.parseRouteMessage(buffer(query.body))
  t.match(data, { family: 2, dstLen: 16, table: 0, protocol: 116, scope: 'SITE', type: 'UNICAST' })
  t.match(attrs, { oif: 7, table: 1000, priority: 77 })
  t.strictSame([text(attrs.dst), text(attrs.gateway)], ['10.2.0.0', '10.1.0.1'])
  t.strictSame(
    [attrs.metrics?.mtu, attrs.metrics?.advmss],
    [buffer(bytes('14050000')), buffer(bytes('b0040000'))],
  )
})

test('netlink reads newNeighbour', async (t) => {
  const query = newNeighbour({ link: link(7), address: address('fe80::1'), mac: podMac })
  const { data, attrs } = rt.parseNeighborMessage(buffer(query.body))
  t.match(data, { family: 10, ifindex: 7, flags: {} })
  t.strictSame(data.state, { permanent: true })
  t.equal(text(attrs.dst), 'fe80::1')
  t.strictSame(attrs.lladdr, buffer(podMac))
})

const written = (data: StreamData): Buffer => {
  const stream = new AttrStream()
  stream.emit(data)
  return Buffer.concat(stream.bufs)
}

test('we read what netlink writes of a bridge port', async (t) => {
  const slaveData = written(
    ifla.formatBridgePort({ state: 3, mode: 1, isolated: buffer(bytes('00')) }),
  )
  const linkinfo = written(ifla.formatInfo({ kind: 'veth', slaveKind: 'bridge', slaveData }))
  const body = written((out) =>
    rt.formatLinkMessage(
      {
        kind: 'link',
        data: { index: 7, flags: { up: true } },
        attrs: {
          ifname: 'host0',
          mtu: 1400,
          master: 9,
          ifalias: 'tulle1 a b',
          address: buffer(hostMac),
          linkinfo,
        },
      },
      out,
    ),
  )
  const { mac: found, ...rest } = decodeLink(body)
  t.equal(found && formatMac(found), formatMac(hostMac))
  t.strictSame(rest, {
    index: 7,
    name: 'host0',
    flags: 1,
    isOperational: false,
    mtuBytes: 1400,
    txQueueLength: 0,
    kind: 'veth',
    alias: 'tulle1 a b',
    master: 9,
    peer: undefined,
    port: { hairpin: true, isolated: false, isForwarding: true },
  })
})

for (const text of ['10.1.0.5/24', '2001:db8::5/64'])
  test(`we read what netlink writes of ${text}`, async (t) => {
    const [local = '', bits] = text.split('/')
    const hex = buffer(addressHex(local))
    const data = { family: hex.length === 4 ? 2 : 10, prefixlen: Number(bits), index: 7 }
    const attrs = { address: hex, local: hex, label: 'eth0' }
    const body = written((out) => rt.formatAddressMessage({ kind: 'address', data, attrs }, out))
    const found = decodeAddress(body)
    t.strictSame([found?.link, found && formatPrefix(found.prefix)], [7, text])
  })

const addressHex = (text: string): Uint8Array =>
  text.includes(':') ? bytes('20010db8000000000000000000000005') : bytes('0a010005')

test('we read what netlink writes of a route', async (t) => {
  const attrs = {
    dst: buffer(bytes('0a020000')),
    gateway: buffer(bytes('0a010001')),
    ...{ oif: 7, table: 1000, priority: 77, metrics: { mtu: buffer(bytes('14050000')) } },
  }
  const data = { family: 2, dstLen: 16, table: 252, protocol: 116 }
  const body = written((out) => rt.formatRouteMessage({ kind: 'route', data, attrs }, out))
  t.strictSame(decodeRoute(body), {
    destination: prefix('10.2.0.0/16'),
    link: 7,
    gateway: address('10.1.0.1'),
    table: 1000,
    protocol: 116,
    priority: 77,
  })
})

test('we read what netlink writes of a neighbour', async (t) => {
  const attrs = { dst: buffer(bytes('0a010005')), lladdr: buffer(podMac) }
  const data = { family: 2, ifindex: 7, state: { permanent: true as const } }
  const body = written((out) => rt.formatNeighborMessage({ kind: 'neighbor', data, attrs }, out))
  const found = decodeNeighbour(body)
  t.match(found, { link: 7, permanent: true })
  t.equal(found && formatAddress(found.address), '10.1.0.5')
  t.equal(found?.mac && formatMac(found.mac), formatMac(podMac))
})

/** Both read the same kernel's message: what we keep is what netlink says of it. */
function bothRead(
  t: Test,
  name: string,
  type: number,
  read: (body: Buffer) => readonly unknown[],
): void {
  const bodies = goldenMessages(name).filter((one) => one.type === type)
  t.ok(bodies.length > 1)
  for (const { body } of bodies) {
    const [ours, theirs] = read(body)
    t.strictSame(ours, theirs)
  }
}

test("both read the kernel's links alike", async (t) => {
  bothRead(t, 'reply-links', 16, (body) => {
    const { data, attrs } = rt.parseLinkMessage(body)
    const ours = decodeLink(body)
    return [
      [ours.index, ours.name, ours.mtuBytes, ours.alias, ours.master, (ours.flags & 1) === 1],
      [data.index, attrs.ifname, attrs.mtu, attrs.ifalias, attrs.master, data.flags?.up ?? false],
    ]
  })
})

test("both read the kernel's routes alike", async (t) => {
  bothRead(t, 'reply-routes', 24, (body) => {
    const { data, attrs } = rt.parseRouteMessage(body)
    const ours = decodeRoute(body)
    const { destination, gateway } = ours ?? {}
    return [
      [
        destination && formatPrefix(destination),
        gateway && formatAddress(gateway),
        ours?.link,
        ours?.table,
        ours?.priority,
      ],
      [
        `${text(attrs.dst)}/${data.dstLen}`,
        text(attrs.gateway),
        attrs.oif,
        attrs.table,
        attrs.priority ?? 0,
      ],
    ]
  })
})

test("both read the kernel's neighbours alike", async (t) => {
  bothRead(t, 'reply-neighbours', 28, (body) => {
    const { data, attrs } = rt.parseNeighborMessage(body)
    const ours = decodeNeighbour(body)
    return [
      [ours && formatAddress(ours.address), ours?.link, ours?.permanent],
      [text(attrs.dst), data.ifindex, data.state?.permanent ?? false],
    ]
  })
})
