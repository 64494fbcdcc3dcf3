import { formatAddress } from '../base/address.ts'
import { formatMac, type Mac, parseMac } from '../base/mac.ts'
import { formatPrefix } from '../base/prefix.ts'
import { unreachable } from '../base/unreachable.ts'
import type { Change } from '../overlay/difference.ts'
import type { FabricEntry, RouteEntry } from '../overlay/fabric.ts'
import type { Query } from '../wire/netlink/message.ts'
import {
  deleteForwarding,
  type ObservedForwarding,
  replaceForwarding,
} from '../wire/rtnl/forwarding.ts'
import type { IfIndex } from '../wire/rtnl/link.ts'
import { deleteNeighbour, newNeighbour, type ObservedNeighbour } from '../wire/rtnl/neighbour.ts'
import {
  deleteRoute,
  newRoute,
  type ObservedRoute,
  protocolTulle,
  type Route,
  replaceRoute,
  tableMain,
} from '../wire/rtnl/route.ts'

// A fabric's entries as rtnetlink has them: values of overlay/ to messages of wire/, and back.

/** The one message of a change; the link is its entry's. */
export function queryOf({ kind, entry }: Change, link: IfIndex): Query {
  switch (entry.kind) {
    case 'route': {
      const route = routeOf(entry, link)
      if (kind === 'delete') return deleteRoute(route)
      // of a route that is added nothing is known: it may be there, and somebody else's
      return kind === 'add' ? newRoute(route) : replaceRoute(route)
    }
    case 'neighbour': {
      const { address } = entry
      if (kind === 'delete') return deleteNeighbour({ link, address })
      return newNeighbour({ link, address, mac: macOf(entry.mac) })
    }
    case 'fdb': {
      const one = { link, mac: macOf(entry.mac), destination: entry.destination }
      return kind === 'delete' ? deleteForwarding(one) : replaceForwarding(one)
    }
    default:
      return unreachable(entry)
  }
}

export function routeOf(entry: RouteEntry, link: IfIndex): Route {
  const { destination, gateway, onlink, source } = entry
  return { destination, link, gateway, onlink, ...(source ? { source } : {}) }
}

export function macOf(text: string): Mac {
  const mac = parseMac(text)
  if (!mac) throw new Error(`Cannot use ${text} as a MAC`)
  return mac
}

/** For people: as `ip` and `bridge` would say it. */
export function describe(entry: FabricEntry): string {
  switch (entry.kind) {
    case 'route': {
      const { destination, gateway, link } = entry
      return `route ${formatPrefix(destination)} via ${formatAddress(gateway)} dev ${link}`
    }
    case 'neighbour':
      return `neighbour ${formatAddress(entry.address)} lladdr ${entry.mac} dev ${entry.link}`
    case 'fdb':
      return `fdb ${entry.mac} dst ${formatAddress(entry.destination)} dev ${entry.link}`
    default:
      return unreachable(entry)
  }
}

/**
 * A route of ours that leads to another node: through a tunnel device, or past a gateway with a
 * source. Routes to pods have no gateway; those that a plugin made, where the node itself is a pod,
 * have no source. A default route is never ours.
 */
export function routeEntry(
  route: ObservedRoute,
  link: string,
  on: 'device' | 'uplink',
): RouteEntry | undefined {
  const { destination, gateway, source, protocol, table } = route
  const isRouteOfOurs = protocol === protocolTulle && table === tableMain && destination.bits > 0
  if (!isRouteOfOurs || !gateway || route.isLocal || (on === 'uplink' && !source)) return undefined
  const onlink = route.onlink === true
  return { kind: 'route', destination, link, gateway, onlink, ...(source ? { source } : {}) }
}

/** On a device of ours every permanent neighbour is ours. */
export function neighbourEntry(one: ObservedNeighbour, link: string): FabricEntry | undefined {
  if (!one.permanent || !one.mac) return undefined
  return { kind: 'neighbour', link, address: one.address, mac: formatMac(one.mac) }
}

export const forwardingEntry = (one: ObservedForwarding, link: string): FabricEntry | undefined =>
  one.permanent
    ? { kind: 'fdb', link, mac: formatMac(one.mac), destination: one.destination }
    : undefined
