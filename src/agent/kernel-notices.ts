import { formatMac } from '../base/mac.ts'
import { keyOf, sameEntry } from '../overlay/difference.ts'
import type { FabricEntry } from '../overlay/fabric.ts'
import { decodeAddress } from '../wire/rtnl/address.ts'
import { decodeForwarding } from '../wire/rtnl/forwarding.ts'
import { decodeNeighbour } from '../wire/rtnl/neighbour.ts'
import { decodeRoute, tableMain } from '../wire/rtnl/route.ts'

// What others do to the kernel, held beside what is wanted. Most of what a node tells is of pods
// that come and go, and of neighbours that are heard: each such notice must cost microseconds.

// linux/rtnetlink.h
const RTM_NEWLINK = 16
const RTM_DELLINK = 17
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const RTM_NEWNEIGH = 28
const RTM_DELNEIGH = 29
const RTM_NEWNETCONF = 80

/** `NETCONFA_IFINDEX_ALL`: conf/all. */
const everyLink = -1

/** Links that the way to other nodes depends on, by index: ours, and the way out. */
export type WatchedLinks = ReadonlyMap<number, { readonly name: string; readonly isOurs: boolean }>

export type Concern =
  /** An entry that is wanted is gone, or another. */
  | { readonly kind: 'entry'; readonly key: string }
  /** A device of ours, or what stands on it. */
  | { readonly kind: 'device' }
  /**
   * The way out towards other nodes. With a link or an address go the routes by it, and the kernel
   * says nothing of IPv4's.
   */
  | { readonly kind: 'uplink'; readonly mayCostRoutes: boolean }
  /** Whether packets are forwarded. */
  | { readonly kind: 'sysctl' }

export type Wanted = {
  readonly links: WatchedLinks
  /** This link may be the one that is missing; by its name, or somewhere an address came. */
  readonly isAwaited: (name: string | undefined) => boolean
  readonly entries: ReadonlyMap<string, FabricEntry>
}

/** What of the wanted a message of rtnetlink touches; undefined: nothing. */
export function concernOf(type: number, body: Uint8Array, wanted: Wanted): Concern | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return ofLink(body, wanted)
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return ofAddress(type === RTM_DELADDR, body, wanted)
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return ofRoute(type === RTM_DELROUTE, body, wanted)
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return ofNeighbour(type === RTM_DELNEIGH, body, wanted)
    case RTM_NEWNETCONF:
      return ofConfiguration(body, wanted)
    default:
      return undefined
  }
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

/** struct ifinfomsg: the index is at 4, attributes from 16 on. */
function ofLink(body: Uint8Array, { links, isAwaited }: Wanted): Concern | undefined {
  const link = links.get(viewOf(body).getInt32(4, true))
  if (link?.isOurs) return { kind: 'device' }
  const isUplink = link !== undefined || isAwaited(attributeText(body, 16, IFLA_IFNAME))
  return isUplink ? { kind: 'uplink', mayCostRoutes: true } : undefined
}

function ofAddress(
  isGone: boolean,
  body: Uint8Array,
  { links, isAwaited }: Wanted,
): Concern | undefined {
  const address = decodeAddress(body)
  const link = address && links.get(address.link)
  if (link?.isOurs) return { kind: 'device' }
  const isUplink = link !== undefined || isAwaited(undefined)
  return isUplink ? { kind: 'uplink', mayCostRoutes: isGone } : undefined
}

/** struct rtmsg: protocol and what else is in it does not matter, the place does. */
function ofRoute(isGone: boolean, body: Uint8Array, { links, entries }: Wanted) {
  const route = decodeRoute(body)
  if (!route || route.table !== tableMain || route.destination.bits === 0) return undefined
  const { destination, gateway, onlink, source } = route
  const key = keyOf({
    kind: 'route',
    destination,
    link: '',
    gateway: destination.address,
    onlink: false,
  })
  const entry = entries.get(key)
  if (!entry) return undefined
  if (isGone || !gateway) return { kind: 'entry', key } as const
  const found: FabricEntry = {
    kind: 'route',
    destination,
    link: (route.link && links.get(route.link)?.name) ?? '',
    gateway,
    onlink: onlink === true,
    ...(source ? { source } : {}),
  }
  return sameEntry(entry, found) ? undefined : ({ kind: 'entry', key } as const)
}

/** struct ndmsg: the family is at 0, the index at 4. */
function ofNeighbour(isGone: boolean, body: Uint8Array, { links, entries }: Wanted) {
  const link = links.get(viewOf(body).getInt32(4, true))
  if (!link?.isOurs) return undefined
  const found = body[0] === AF_BRIDGE ? forwardingOf(body, link.name) : neighbourOf(body, link.name)
  if (!found) return undefined
  const key = keyOf(found)
  const entry = entries.get(key)
  if (!entry || (!isGone && sameEntry(entry, found))) return undefined
  return { kind: 'entry', key } as const
}
const AF_BRIDGE = 7

function forwardingOf(body: Uint8Array, link: string): FabricEntry | undefined {
  const found = decodeForwarding(body)
  return found && { kind: 'fdb', link, mac: formatMac(found.mac), destination: found.destination }
}

function neighbourOf(body: Uint8Array, link: string): FabricEntry | undefined {
  const found = decodeNeighbour(body)
  const mac = found?.mac && formatMac(found.mac)
  return found && { kind: 'neighbour', link, address: found.address, mac: mac ?? '' }
}

/** struct netconfmsg (a byte of family, padded to 4), NETCONFA_IFINDEX first (linux/netconf.h). */
function ofConfiguration(body: Uint8Array, { links }: Wanted): Concern | undefined {
  const index = attributeNumber(body, 4, NETCONFA_IFINDEX)
  const isOurs = index !== undefined && links.get(index)?.isOurs === true
  return index === everyLink || isOurs ? { kind: 'sysctl' } : undefined
}
const NETCONFA_IFINDEX = 1
const IFLA_IFNAME = 3

/** The first attribute of that type: where it begins and how long it is. */
function attributeAt(body: Uint8Array, from: number, type: number): Uint8Array | undefined {
  const view = viewOf(body)
  for (let at = from; at + 4 <= body.length; ) {
    const length = view.getUint16(at, true)
    if (length < 4 || at + length > body.length) return undefined
    if (view.getUint16(at + 2, true) === type) return body.subarray(at + 4, at + length)
    at += (length + 3) & ~3
  }
  return undefined
}

function attributeText(body: Uint8Array, from: number, type: number): string | undefined {
  const found = attributeAt(body, from, type)
  return found && String.fromCharCode(...found.subarray(0, found.indexOf(0)))
}

function attributeNumber(body: Uint8Array, from: number, type: number): number | undefined {
  const found = attributeAt(body, from, type)
  return found && found.length >= 4 ? viewOf(found).getInt32(0, true) : undefined
}
