import { type Address, type Family, formatAddress, sameAddress } from '../base/address.ts'
import { contains, formatPrefix, networkOf, overlaps, type Prefix } from '../base/prefix.ts'
import type { ClusterNode, RouteMode } from '../cluster/node.ts'
import { deviceNames, firstAddress, linkLocal, podFamilyFirst, tunnelMac } from './device.ts'
import { keyOf } from './difference.ts'
import type { FabricEntry, Self } from './fabric.ts'
import type { OverlayOptions } from './options.ts'

/** How this node's packets get to another's pods. */
export type Woven = {
  readonly name: string
  readonly ways: readonly Way[]
  readonly entries: readonly FabricEntry[]
  /** Why some of its pods, or all, are not reached. */
  readonly problem?: string
}

export type Way = {
  readonly podCIDR: Prefix
  readonly mode: 'direct' | 'vxlan'
  /** Family of the underlay. */
  readonly over: Family
}

/** What the kernel is to hold for one node; nothing for this node itself. */
export function weavePeer(self: Self, node: ClusterNode, options: OverlayOptions): Woven {
  const { name } = node
  if (name === self.name) return { name, ways: [], entries: [] }
  const found = node.podCIDRs.map(networkOf).map((podCIDR) => wayTo(podCIDR, self, node, options))
  const problems = found.flatMap((one) => ('problem' in one ? [one.problem] : []))
  const ways = found.flatMap((one) => ('problem' in one ? [] : [one]))
  return {
    name,
    ways: ways.map(({ podCIDR, mode, over }) => ({ podCIDR, mode, over })),
    entries: distinct(ways.flatMap((way) => entriesOf(way, self))),
    ...(problems.length > 0 ? { problem: problems.join('; ') } : {}),
  }
}

/** Where the tunnel ends, or the gateway: its address, and its MAC in the tunnel. */
type Destined = Way & { readonly address: Address; readonly mac: string }

function wayTo(
  podCIDR: Prefix,
  self: Self,
  node: ClusterNode,
  options: OverlayOptions,
): Destined | { readonly problem: string } {
  const obstacle = obstacleTo(podCIDR, self, node)
  if (obstacle) return { problem: obstacle }
  const mode = modeBetween(self, node, options)
  const direct = mode === 'vxlan' ? undefined : directWay(podCIDR, self, node)
  if (direct) return direct
  return mode === 'direct'
    ? { problem: notOnLink(podCIDR, self, node) }
    : tunnelWay(podCIDR, self, node, options)
}

/**
 * The same seen from either end, so that both directions go one way (rp_filter drops what comes by
 * another): a tunnel if one of the two asks for it, else directly if one asks for that.
 */
export function modeBetween(
  self: Pick<Self, 'mode'>,
  node: Pick<ClusterNode, 'mode' | 'flannel'>,
  options: OverlayOptions,
): RouteMode {
  const asked = [self.mode, node.mode]
  if (asked.includes('vxlan')) return 'vxlan'
  if (asked.includes('direct')) return 'direct'
  if (asked.includes('auto') || options.mode === 'auto') return node.flannel ? 'vxlan' : 'auto'
  return options.mode
}

function obstacleTo(podCIDR: Prefix, self: Self, node: ClusterNode): string | undefined {
  const what = `Cannot route ${formatPrefix(podCIDR)} to node ${node.name}`
  const own = self.podCIDRs.find((one) => overlaps(one, podCIDR))
  if (own)
    return `${what}: it overlaps ${formatPrefix(own)} of this node; ` + 'give one of them another'
  const mine = [self.underlay[4], self.underlay[6]].flatMap((one) => (one ? [one.address] : []))
  const twice = node.addresses.find((one) => mine.some((other) => sameAddress(one, other)))
  if (twice)
    return `${cannotRoute(podCIDR, node)}: its address ${formatAddress(twice)} is this node's too`
  const inside = [...mine, ...node.addresses].find((one) => contains(podCIDR, one))
  if (inside)
    return (
      `${cannotRoute(podCIDR, node)}: it holds ${formatAddress(inside)}, a node's own address, ` +
      'which would no longer be reached; give the node another podCIDR'
    )
  return undefined
}

const cannotRoute = (podCIDR: Prefix, { name }: ClusterNode): string =>
  `Cannot route ${formatPrefix(podCIDR)} to node ${name}`

function directWay(podCIDR: Prefix, self: Self, node: ClusterNode): Destined | undefined {
  const over = podCIDR.address.family
  const address = addressOf(node, over)
  const isOnLink = address && self.underlay[over]?.onLink.some((one) => contains(one, address))
  return isOnLink ? { podCIDR, mode: 'direct', over, address, mac: '' } : undefined
}

function notOnLink(podCIDR: Prefix, self: Self, node: ClusterNode): string {
  const over = podCIDR.address.family
  const what = `Cannot route ${formatPrefix(podCIDR)} directly to node ${node.name}`
  const underlay = self.underlay[over]
  const address = addressOf(node, over)
  if (!underlay) return `${what}: this node has no IPv${over} address; use mode auto or vxlan`
  if (!address) return `${what}: that has no IPv${over} address; use mode auto or vxlan`
  const networks = underlay.onLink.map(formatPrefix).join(', ') || 'none'
  return (
    `${what}: ${formatAddress(address)} is not on the link ${underlay.link} ` +
    `(its networks: ${networks}); use mode auto or vxlan`
  )
}

function tunnelWay(
  podCIDR: Prefix,
  self: Self,
  node: ClusterNode,
  options: OverlayOptions,
): Destined | { readonly problem: string } {
  const podFamily = podCIDR.address.family
  if (node.flannel) {
    // Flannel knows a tunnel of the pods' own family alone
    const vtep = node.flannel.find(({ family }) => family === podFamily)
    if (!vtep || !self.underlay[podFamily])
      return {
        problem: `${cannotRoute(podCIDR, node)}: Flannel has no IPv${podFamily} tunnel with us`,
      }
    if (vtep.vni !== options.vni)
      return {
        problem: `${cannotRoute(podCIDR, node)}: its VNI is ${vtep.vni}, ours ${options.vni}`,
      }
    const { address, mac } = vtep
    return { podCIDR, mode: 'vxlan', over: podFamily, address, mac: mac.toLowerCase() }
  }
  for (const over of podFamilyFirst(podFamily)) {
    const address = self.underlay[over] && addressOf(node, over)
    if (address) return { podCIDR, mode: 'vxlan', over, address, mac: tunnelMac(address) }
  }
  const has = node.addresses.map(formatAddress).join(', ') || 'none'
  const families = [4, 6].filter((family) => self.underlay[family as Family]).join(' and IPv')
  return {
    problem:
      `${cannotRoute(podCIDR, node)}: this node has IPv${families} towards others, ` +
      `that has the addresses ${has}`,
  }
}

/** The preferred one of a family is the first. */
const addressOf = (node: ClusterNode, family: Family): Address | undefined =>
  node.addresses.find((address) => address.family === family)

function entriesOf({ podCIDR, mode, over, address, mac }: Destined, self: Self): FabricEntry[] {
  if (mode === 'direct') {
    const { link, address: source } = self.underlay[over] ?? { link: '', address }
    return [{ kind: 'route', destination: podCIDR, link, gateway: address, onlink: false, source }]
  }
  const link = deviceNames[over]
  const { family } = podCIDR.address
  const gateway = family === 4 ? firstAddress(podCIDR) : linkLocal(mac)
  const own = self.podCIDRs.find((one) => one.address.family === family)
  return [
    { kind: 'fdb', link, mac, destination: address },
    { kind: 'neighbour', link, address: gateway, mac },
    {
      kind: 'route',
      destination: podCIDR,
      link,
      gateway,
      onlink: true,
      ...(own ? { source: firstAddress(own) } : {}),
    },
  ]
}

/** Several networks of one node share its tunnel end. */
function distinct(entries: readonly FabricEntry[]): readonly FabricEntry[] {
  const keys = new Set<string>()
  return entries.filter((entry) => {
    if (entry.kind === 'route') return true
    const key = keyOf(entry)
    if (keys.has(key)) return false
    keys.add(key)
    return true
  })
}
