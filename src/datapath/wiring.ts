import { type Address, formatAddress, parseAddress } from '../base/address.ts'
import { type Mac, parseMac } from '../base/mac.ts'
import {
  formatPrefix,
  hostPrefix,
  networkOf,
  type Prefix,
  parsePrefix,
  samePrefix,
} from '../base/prefix.ts'
import { scopeLink } from '../wire/rtnl/route.ts'
import type { AttachedIp, AttachedRoute, Attachment } from './attachment.ts'

/** A route without its link, which is known only once the link is there. */
export type WiredRoute = {
  readonly destination: Prefix
  readonly gateway?: Address
  readonly onlink?: true
  readonly scope?: number
  readonly table?: number
  readonly priority?: number
  readonly mtuBytes?: number
  readonly advmssBytes?: number
}
export type WiredNeighbour = { readonly address: Address; readonly mac: Mac }

/**
 * What the kernel should show for an attachment, on both sides: ADD makes it, CHECK compares it.
 */
export type Wiring = {
  readonly pod: Side
  readonly host: Side
}
export type Side = {
  readonly addresses: readonly Prefix[]
  readonly routes: readonly WiredRoute[]
  readonly neighbours: readonly WiredNeighbour[]
}

/**
 * Next hops of routed pods whose IPAM names no gateway: link-local, so they can't clash with any
 * network.
 */
const fallbackGateway = { 4: '169.254.1.1', 6: 'fe80::1' } as const

export function wiringOf(attachment: Attachment): Wiring {
  return attachment.mode === 'routed' ? routedWiring(attachment) : bridgeWiring(attachment)
}

/**
 * A pod with a /32 (/128) behind its own veth, and no layer 2 to speak of: each side knows the
 * other's MAC for good, so there is no ARP, no neighbour discovery and nobody to spoof. The host
 * end carries the gateway's address, so that the host has a source address for its own connections
 * to pods and the gateway answers pings.
 */
function routedWiring(attachment: Attachment): Wiring {
  const podMac = macOf(attachment.podMac)
  const hostMac = macOf(attachment.hostMac)
  const ips = attachment.ips.map((ip) => ({
    address: addressOf(ip.address),
    subnet: subnetOf(ip.address, ip.subnetBits),
    gateway: addressOf(ip.gateway ?? fallbackGateway[ip.address.includes(':') ? 6 : 4]),
    isGiven: ip.gateway !== null,
    bits: prefixBitsOf(attachment, ip),
  }))
  const wanted = attachment.routes.map((route) => routeOf(route, attachment))
  const hops = distinct([
    ...ips.map(({ gateway }) => gateway),
    ...wanted.flatMap(({ gateway }) => gateway ?? []),
  ])
  const toHops = hops.map((hop): WiredRoute => ({ destination: hostPrefix(hop), scope: scopeLink }))
  const toSubnets = distinctBy(ips, ({ subnet }) => formatPrefix(subnet))
    .filter(({ subnet }) => !wanted.some(({ destination }) => samePrefix(destination, subnet)))
    .filter(({ subnet, address }) => subnet.bits < hostPrefix(address).bits)
    .map(({ subnet, gateway }): WiredRoute => ({ destination: subnet, gateway, onlink: true }))
  return {
    pod: {
      addresses: ips.map(({ address, bits }) => ({ address, bits })),
      routes: [
        ...toHops,
        ...wanted.map((route) => (route.gateway ? { ...route, onlink: true as const } : route)),
        ...toSubnets,
      ],
      neighbours: hops.map((address) => ({ address, mac: hostMac })),
    },
    host: {
      addresses: distinct(ips.filter(({ isGiven }) => isGiven).map(({ gateway }) => gateway)).map(
        hostPrefix,
      ),
      routes: ips.map(({ address }) => ({ destination: hostPrefix(address), scope: scopeLink })),
      neighbours: ips.map(({ address }) => ({ address, mac: podMac })),
    },
  }
}

const hostBits = { 4: 32, 6: 128 } as const

/** Prefix length of a pod's address, on its link and in the result. */
export const prefixBitsOf = (
  { mode, podPrefix }: Pick<Attachment, 'mode' | 'podPrefix'>,
  { address, subnetBits }: AttachedIp,
): number =>
  mode === 'bridge' || podPrefix === 'subnet' ? subnetBits : hostBits[address.includes(':') ? 6 : 4]

/**
 * As the reference bridge plugin wires it: the pod is in its subnet, the kernel makes the subnet's
 * route.
 */
function bridgeWiring(attachment: Attachment): Wiring {
  const subnets = attachment.ips.map(({ address, subnetBits }) => subnetOf(address, subnetBits))
  const isMade = ({ dst, gw, table, priority }: AttachedRoute): boolean =>
    gw === null &&
    table === undefined &&
    priority === undefined &&
    subnets.some((subnet) => samePrefix(subnet, networkOf(prefixOf(dst))))
  return {
    pod: {
      addresses: attachment.ips.map(({ address, subnetBits }) => ({
        address: addressOf(address),
        bits: subnetBits,
      })),
      routes: attachment.routes
        .filter((route) => !isMade(route))
        .map((route) => routeOf(route, attachment)),
      neighbours: [],
    },
    host: { addresses: [], routes: [], neighbours: [] },
  }
}

/**
 * A route without a next hop of its own goes by the gateway of its family, or straight out of the
 * link.
 */
function routeOf(route: AttachedRoute, { ips, mode }: Attachment): WiredRoute {
  const destination = networkOf(prefixOf(route.dst))
  const { family } = destination.address
  const own = ips.find(({ address }) => addressOf(address).family === family)
  const fallback = mode === 'routed' && own ? fallbackGateway[family] : undefined
  const viaLink = route.scope === scopeLink && route.gw === null
  const hop = viaLink ? undefined : (route.gw ?? own?.gateway ?? fallback)
  return {
    destination,
    ...(hop === undefined ? {} : { gateway: addressOf(hop) }),
    ...(route.scope === undefined ? {} : { scope: route.scope }),
    ...(route.table === undefined ? {} : { table: route.table }),
    ...(route.priority === undefined ? {} : { priority: route.priority }),
    ...(route.mtu === undefined ? {} : { mtuBytes: route.mtu }),
    ...(route.advmss === undefined ? {} : { advmssBytes: route.advmss }),
  }
}

/**
 * Attachment texts were made from parsed values: one that can't be read is a bug, or a record that
 * was tampered with.
 */
export function addressOf(text: string): Address {
  const address = parseAddress(text)
  if (!address) throw new Error(`Cannot read address ${JSON.stringify(text)} of an attachment`)
  return address
}

export function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text)
  if (!prefix) throw new Error(`Cannot read prefix ${JSON.stringify(text)} of an attachment`)
  return prefix
}

export function macOf(text: string): Mac {
  const mac = parseMac(text)
  if (!mac) throw new Error(`Cannot read MAC ${JSON.stringify(text)} of an attachment`)
  return mac
}

export const subnetOf = (address: string, bits: number): Prefix =>
  networkOf({ address: addressOf(address), bits })

const distinctBy = <T>(items: readonly T[], keyOf: (item: T) => string): readonly T[] => [
  ...new Map(items.map((item) => [keyOf(item), item])).values(),
]

const distinct = (addresses: readonly Address[]): readonly Address[] =>
  distinctBy(addresses, formatAddress)
