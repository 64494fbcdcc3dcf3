import { type Address, addressKey, formatAddress } from '../base/address.ts'
import { formatMac } from '../base/mac.ts'
import { formatPrefix } from '../base/prefix.ts'
import type { Native } from '../kernel/native.ts'
import { NETLINK_ROUTE, NetlinkSocket } from '../kernel/netlink-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { deviceNames } from '../overlay/device.ts'
import { decodeForwarding, dumpForwarding } from '../wire/rtnl/forwarding.ts'
import { IFF_UP, type IfIndex } from '../wire/rtnl/link.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import { type ObservedRoute, protocolTulle, tableMain } from '../wire/rtnl/route.ts'

/** One route of ours towards another node's pods, as the kernel has it; all in text. */
export type NodeRoute = {
  readonly destination: string
  readonly mode: 'direct' | 'vxlan'
  readonly via: string
  readonly device: string
  /** Of a tunnelled one: the MAC of `via`, and the node that frames to it are sent to. */
  readonly mac?: string
  readonly remote?: string
  /** Why no packet gets through by it. */
  readonly problem?: string
}

export type FabricView = {
  readonly devices: readonly Link[]
  readonly routes: readonly NodeRoute[]
  /** On our devices, and no route leads by them: "10.244.7.0 at 02:74:…", "02:74:… to 10.0.0.7". */
  readonly unused: readonly string[]
}

/** What the kernel holds of ours towards other nodes. */
export function viewFabric(native: Native): FabricView {
  const host = new RouteSocket(native, -1, 'the host')
  const socket = new NetlinkSocket(native, -1, NETLINK_ROUTE)
  try {
    const links = host.links()
    const names = Object.values(deviceNames)
    const devices = links.filter(({ name, vxlan }) => vxlan && names.includes(name))
    const indexes = new Set(devices.map(({ index }) => index))
    const neighbours = new Map(
      host
        .neighbours()
        // The kernel's own, of multicast groups, are not permanent.
        .filter(({ link, permanent }) => permanent && indexes.has(link))
        .map(({ link, address, mac }) => [keyOf(link, address), { address, mac: textOf(mac) }]),
    )
    const forwarding = new Map(
      devices.flatMap(({ index }) =>
        socket
          .ask('list forwarding entries', dumpForwarding(index))
          .flatMap(({ body }) => decodeForwarding(body) ?? [])
          .map((one) => [`${index} ${formatMac(one.mac)}`, one] as const),
      ),
    )
    const used = new Set<string>()
    const routes = [...host.routes(4), ...host.routes(6)]
      .filter(isOurs)
      .map((route) => describe(route, { links, indexes, neighbours, forwarding, used }))
    const unused = [
      ...[...neighbours]
        .filter(([key, { mac }]) => !used.has(key) && mac !== undefined)
        .map(([, { address, mac }]) => `${formatAddress(address)} at ${mac}`),
      ...[...forwarding]
        .filter(([key]) => !used.has(key))
        .map(([, one]) => `${formatMac(one.mac)} to ${formatAddress(one.destination)}`),
    ]
    return { devices, routes, unused }
  } finally {
    host.close()
    socket.close()
  }
}

/** Towards nodes by a gateway; pods of this node have none. */
const isOurs = ({ protocol, gateway, table, isLocal }: ObservedRoute): boolean =>
  protocol === protocolTulle && table === tableMain && gateway !== undefined && !isLocal

const keyOf = (link: IfIndex, address: Address): string => `${link} ${addressKey(address)}`
const textOf = (mac: Uint8Array | undefined): string | undefined => mac && formatMac(mac)

type Known = {
  readonly links: readonly Link[]
  readonly indexes: ReadonlySet<IfIndex>
  readonly neighbours: ReadonlyMap<string, { readonly mac: string | undefined }>
  readonly forwarding: ReadonlyMap<string, { readonly destination: Address }>
  /** Keys that a route leads by. */
  readonly used: Set<string>
}

function describe(route: ObservedRoute, known: Known): NodeRoute {
  const link = known.links.find(({ index }) => index === route.link)
  const gateway = route.gateway ?? route.destination.address
  const plain = {
    destination: formatPrefix(route.destination),
    via: formatAddress(gateway),
    device: link?.name ?? '-',
  }
  const isDown = !link || (link.flags & IFF_UP) === 0
  if (!link || !known.indexes.has(link.index))
    return { ...plain, mode: 'direct', ...(isDown ? { problem: 'its link is down' } : {}) }
  const neighbourKey = keyOf(link.index, gateway)
  const mac = known.neighbours.get(neighbourKey)?.mac
  const forwardingKey = `${link.index} ${mac}`
  const remote = known.forwarding.get(forwardingKey)?.destination
  known.used.add(neighbourKey).add(forwardingKey)
  const problem = problemOf({ isDown, mac, remote })
  return {
    ...plain,
    mode: 'vxlan',
    ...(mac === undefined ? {} : { mac }),
    ...(remote ? { remote: formatAddress(remote) } : {}),
    ...(problem === undefined ? {} : { problem }),
  }
}

function problemOf(found: {
  readonly isDown: boolean
  readonly mac: string | undefined
  readonly remote: Address | undefined
}): string | undefined {
  if (found.isDown) return 'the tunnel device is down'
  if (found.mac === undefined) return 'no neighbour entry for its gateway'
  return found.remote ? undefined : 'no forwarding entry for its MAC'
}
