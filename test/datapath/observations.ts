import { parseAddress } from '../../src/base/address.ts'
import { parseMac } from '../../src/base/mac.ts'
import { type Prefix, parsePrefix } from '../../src/base/prefix.ts'
import type { Claimed, Observed } from '../../src/datapath/difference.ts'
import { IFF_UP, type IfIndex } from '../../src/wire/rtnl/link.ts'
import type { ObservedNeighbour } from '../../src/wire/rtnl/neighbour.ts'
import type { Link } from '../../src/wire/rtnl/observed-link.ts'
import type { ObservedRoute } from '../../src/wire/rtnl/route.ts'

// What the kernel shows of test/datapath/attachments.ts when nothing is amiss, written by hand from
// `ip addr`, `ip route` and `ip neigh` of such a pod, not from our wiring.

export type Side = NonNullable<Observed['pod']>

const podMac = '0a:58:0a:01:00:05'
const hostMac = '0a:58:0a:01:00:01'
const [hostIndex, podIndex, bridgeIndex] = [7, 2, 3] as IfIndex[]

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text)
  if (parsed === undefined) throw new Error(`Cannot read ${text}`)
  return parsed
}

const link = (name: string, index: IfIndex | undefined, mac: string): Link => ({
  index: index ?? (1 as IfIndex),
  name,
  flags: IFF_UP,
  isOperational: true,
  mtuBytes: 1500,
  txQueueLength: 1000,
  mac: parseMac(mac),
  kind: 'veth',
  alias: undefined,
  master: undefined,
  peer: undefined,
  port: undefined,
})

/** "10.0.0.0/8 via 10.1.0.1", "10.1.0.1/32" */
export function route(text: string, more: Partial<ObservedRoute> = {}): ObservedRoute {
  const [destination = '', , gateway] = text.split(' ')
  return {
    destination: prefix(destination),
    link: undefined,
    gateway: gateway === undefined ? undefined : parseAddress(gateway),
    table: 254,
    protocol: 116,
    priority: 0,
    ...more,
  }
}

/** "10.1.0.1 0a:58:…" */
export function neighbour(text: string, how: 'permanent' | 'stale' = 'permanent') {
  const [ip = '', mac = ''] = text.split(' ')
  const found: ObservedNeighbour = {
    link: 1 as IfIndex,
    address: prefix(`${ip}/${ip.includes(':') ? 128 : 32}`).address,
    mac: parseMac(mac),
    permanent: how === 'permanent',
  }
  return found
}

export const untouched: Readonly<Record<'routed' | 'bridge', Observed>> = {
  routed: {
    host: {
      link: link('tul0123456789a', hostIndex, hostMac),
      addresses: ['10.1.0.1/32', 'fd00:1::1/128'].map(prefix),
      routes: ['10.1.0.5/32', 'fd00:1::5/128'].map((text) => route(text)),
      neighbours: [`10.1.0.5 ${podMac}`, `fd00:1::5 ${podMac}`].map((text) => neighbour(text)),
    },
    pod: {
      link: link('eth0', podIndex, podMac),
      addresses: ['10.1.0.5/32', 'fd00:1::5/128', 'fe80::858:aff:fe01:5/64'].map(prefix),
      routes: [
        '10.1.0.1/32',
        'fd00:1::1/128',
        '0.0.0.0/0 via 10.1.0.1',
        '::/0 via fd00:1::1',
        '10.1.0.0/24 via 10.1.0.1',
        'fd00:1::/64 via fd00:1::1',
        'fe80::/64',
      ].map((text) => route(text)),
      neighbours: [`10.1.0.1 ${hostMac}`, `fd00:1::1 ${hostMac}`].map((text) => neighbour(text)),
    },
    bridge: undefined,
    bridgeAddresses: [],
    sysctls: [],
  },
  bridge: {
    host: {
      link: {
        ...link('tul0123456789a', hostIndex, hostMac),
        master: bridgeIndex,
        port: { hairpin: false, isolated: false, isForwarding: true },
      },
      addresses: [],
      routes: [],
      neighbours: [],
    },
    pod: {
      link: link('eth0', podIndex, podMac),
      addresses: ['10.1.0.5/24', 'fd00:1::5/64'].map(prefix),
      routes: ['10.1.0.0/24', 'fd00:1::/64', '0.0.0.0/0 via 10.1.0.1', '::/0 via fd00:1::1'].map(
        (text) => route(text),
      ),
      neighbours: [neighbour(`10.1.0.1 ${hostMac}`, 'stale')],
    },
    bridge: { ...link('cni0', bridgeIndex, '0a:58:00:00:00:09'), kind: 'bridge' },
    bridgeAddresses: ['10.1.0.1/24', 'fd00:1::1/64', 'fe80::1/64'].map(prefix),
    sysctls: [],
  },
}

/** What prevResult says when no plugin came behind us. */
export const claimed: Claimed = {
  ifname: 'eth0',
  mac: podMac,
  mtuBytes: 1500,
  addresses: ['10.1.0.5/32', 'fd00:1::5/128'],
  destinations: ['0.0.0.0/0', '::/0'],
}
