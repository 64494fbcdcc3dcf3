import { type Address, addressBytes, addressFromBytes, type Family } from '../../base/address.ts'
import { concat, Reader, Writer } from '../../base/bytes.ts'
import type { Prefix } from '../../base/prefix.ts'
import {
  type Attribute,
  attribute,
  nested,
  readAttributes,
  readU32,
  u32,
} from '../netlink/attribute.ts'
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  type Query,
} from '../netlink/message.ts'
import { addressFamily } from './address.ts'
import type { IfIndex } from './link.ts'

export const RTM_NEWROUTE = 24
const RTM_GETROUTE = 26

// include/uapi/linux/rtnetlink.h
const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_PRIORITY = 6
const RTA_METRICS = 8
const RTA_TABLE = 15
const RTAX_MTU = 2
const RTAX_ADVMSS = 8
const RTN_UNICAST = 1
export const RTN_LOCAL = 2
const RTNH_F_ONLINK = 4
const RTM_F_FIB_MATCH = 0x2000
export const scopeLink = 253
export const scopeGlobal = 0
export const tableMain = 254
/** Where the kernel keeps the routes to its own addresses. */
export const tableLocal = 255

/**
 * `rtm_protocol` of every route that Tulle makes: `ip route` shows "proto 116" (116 is `t`; 84 is
 * OVN's, 80 Calico's).
 */
export const protocolTulle = 116

export type Route = {
  readonly destination: Prefix
  readonly link: IfIndex
  readonly gateway?: Address
  /** The gateway needs no route of its own: it is on this link. */
  readonly onlink?: true
  readonly scope?: number
  readonly table?: number
  readonly priority?: number
  readonly mtuBytes?: number
  readonly advmssBytes?: number
}

/**
 * Body of RTM_NEWROUTE: struct rtmsg (12 bytes: family, dst_len, src_len, tos, table, protocol,
 * scope, type, flags; linux/rtnetlink.h), then attributes.
 */
export function newRoute(route: Route): Query {
  const { destination, gateway, onlink, table = tableMain } = route
  const scope = route.scope ?? (gateway === undefined ? scopeLink : scopeGlobal)
  const head = new Writer()
    .u8(addressFamily(destination.address))
    .u8(destination.bits)
    .u8(0)
    .u8(0)
    .u8(table < 256 ? table : 0)
    .u8(protocolTulle)
    .u8(scope)
    .u8(RTN_UNICAST)
    .u32(onlink ? RTNH_F_ONLINK : 0)
  return {
    type: RTM_NEWROUTE,
    flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    body: concat([head.done(), ...attributesOf(route, table)]),
  }
}

function attributesOf(route: Route, table: number): readonly Attribute[] {
  const attributes = [u32(RTA_OIF, route.link), u32(RTA_TABLE, table)]
  const { destination, gateway, priority, mtuBytes, advmssBytes } = route
  if (destination.bits > 0) attributes.push(attribute(RTA_DST, addressBytes(destination.address)))
  if (gateway) attributes.push(attribute(RTA_GATEWAY, addressBytes(gateway)))
  if (priority !== undefined) attributes.push(u32(RTA_PRIORITY, priority))
  const metrics: Attribute[] = []
  if (mtuBytes !== undefined) metrics.push(u32(RTAX_MTU, mtuBytes))
  if (advmssBytes !== undefined) metrics.push(u32(RTAX_ADVMSS, advmssBytes))
  if (metrics.length > 0) attributes.push(nested(RTA_METRICS, metrics))
  return attributes
}

/** Asks which route the kernel would take to `to`; it answers one RTM_NEWROUTE, or ENETUNREACH. */
export const getRoute = (to: Address): Query => ({
  type: RTM_GETROUTE,
  flags: NLM_F_REQUEST,
  body: concat([
    new Writer()
      .u8(addressFamily(to))
      .u8(to.family === 4 ? 32 : 128)
      .u16(0)
      .u32(0)
      .u32(RTM_F_FIB_MATCH)
      .done(),
    attribute(RTA_DST, addressBytes(to)),
  ]),
})

/** Of one link, or of all; a kernel before 5.0 does not look at which. */
export const dumpRoutes = (family: Family, link?: IfIndex): Query => ({
  type: RTM_GETROUTE,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  body: concat([
    Uint8Array.of(family === 4 ? 2 : 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    ...(link === undefined ? [] : [u32(RTA_OIF, link)]),
  ]),
})

/** Body of RTM_NEWROUTE as the kernel reports it. Multipath routes have no `link`. */
export type ObservedRoute = {
  readonly destination: Prefix
  readonly link: IfIndex | undefined
  readonly gateway: Address | undefined
  readonly table: number
  readonly protocol: number
  readonly priority: number
  /** To an address of this host (RTN_LOCAL), whatever table the kernel says that it is in. */
  readonly isLocal?: true
}

export function decodeRoute(bytes: Uint8Array): ObservedRoute | undefined {
  const reader = new Reader(bytes)
  const family = reader.u8()
  const bits = reader.u8()
  reader.u16()
  const shortTable = reader.u8()
  const protocol = reader.u8()
  reader.u8()
  const type = reader.u8()
  reader.u32()
  if (family !== 2 && family !== 10) return undefined
  const found = readAttributes(reader.rest())
  const zero: Address = { family: family === 2 ? 4 : 6, value: 0n }
  const destination = found.get(RTA_DST)
  const gateway = found.get(RTA_GATEWAY)
  const link = found.get(RTA_OIF)
  const table = found.get(RTA_TABLE)
  const priority = found.get(RTA_PRIORITY)
  return {
    destination: { address: (destination && addressFromBytes(destination)) ?? zero, bits },
    link: link && (readU32(link) as IfIndex),
    gateway: gateway && addressFromBytes(gateway),
    table: table ? readU32(table) : shortTable,
    protocol,
    priority: priority ? readU32(priority) : 0,
    ...(type === RTN_LOCAL ? { isLocal: true } : {}),
  }
}
