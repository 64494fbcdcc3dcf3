import type { Address, Family } from '../base/address.ts'
import type { Prefix } from '../base/prefix.ts'
import type { RouteMode } from '../cluster/node.ts'

// What is wanted of the kernel so that pods reach other nodes' pods, as values. Links are named,
// not numbered: an index ends with its link.

/** This node's way out towards other nodes, of one family. */
export type Underlay = {
  readonly address: Address
  readonly link: string
  readonly mtuBytes: number
  /** Networks that are on the link itself: who is in one needs no router. */
  readonly onLink: readonly Prefix[]
}

export type Self = {
  readonly name: string
  readonly podCIDRs: readonly Prefix[]
  /** Asked for by this node: see `modeBetween` in peer.ts. */
  readonly mode?: RouteMode
  readonly underlay: Readonly<Partial<Record<Family, Underlay>>>
}

/** A VXLAN device without a parent link: it outlives the uplink. One a family of the underlay. */
export type TunnelDevice = {
  readonly name: string
  readonly vni: number
  readonly port: number
  readonly local: Address
  /** "02:74:0a:00:00:05" */
  readonly mac: string
  readonly mtuBytes: number
  /** /32 and /128: the first address of each podCIDR of this node, as Flannel has it. */
  readonly addresses: readonly Prefix[]
}

/** One thing that the kernel is to hold; `keyOf` says which two of them exclude one another. */
export type FabricEntry = RouteEntry | NeighbourEntry | ForwardingEntry

export type RouteEntry = {
  readonly kind: 'route'
  readonly destination: Prefix
  readonly link: string
  readonly gateway: Address
  /** The gateway needs no route of its own: it is beyond the tunnel. */
  readonly onlink: boolean
  /**
   * Source of the host's own packets. A direct route always has one: it is also what tells it from
   * the routes that a plugin makes in a pod, should this node be one itself.
   */
  readonly source?: Address
}

export type NeighbourEntry = {
  readonly kind: 'neighbour'
  readonly link: string
  readonly address: Address
  readonly mac: string
}

/** Frames to this MAC go to that node (AF_BRIDGE, NTF_SELF). */
export type ForwardingEntry = {
  readonly kind: 'fdb'
  readonly link: string
  readonly mac: string
  readonly destination: Address
}
