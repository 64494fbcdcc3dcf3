import { type Address, type Family, sameAddress } from '../base/address.ts'
import { type Prefix, samePrefix } from '../base/prefix.ts'

/**
 * How packets go to a node's pods: `direct` by a plain route (both nodes on one L2 segment),
 * `vxlan` in a tunnel, `auto` whichever of the two fits.
 */
export type RouteMode = 'auto' | 'vxlan' | 'direct'
export const routeModes = ['auto', 'vxlan', 'direct'] as const satisfies readonly RouteMode[]

/** What the cluster's routes need of a node: of a Kubernetes Node, or of a line of a nodes file. */
export type ClusterNode = {
  readonly name: string
  /** Where other nodes reach it, the preferred one of a family first (InternalIP). */
  readonly addresses: readonly Address[]
  readonly podCIDRs: readonly Prefix[]
  /** Asked for by this node alone (annotation `tulle.dev/route-mode`, or the nodes file). */
  readonly mode?: RouteMode
  /** A node that runs Flannel: its tunnel ends, which don't follow from its addresses. */
  readonly flannel?: readonly FlannelVtep[]
}

/** Tunnel end of Flannel's `backend-data` annotations: one a family of the underlay. */
export type FlannelVtep = {
  readonly family: Family
  readonly address: Address
  /** "02:00:00:aa:bb:cc" */
  readonly mac: string
  readonly vni: number
}

/** Equal in everything that routes depend on: what differs besides is noise. */
export function sameNode(left: ClusterNode, right: ClusterNode): boolean {
  return (
    left.name === right.name &&
    left.mode === right.mode &&
    sameList(left.addresses, right.addresses, sameAddress) &&
    sameList(left.podCIDRs, right.podCIDRs, samePrefix) &&
    sameList(left.flannel ?? [], right.flannel ?? [], sameVtep)
  )
}

const sameVtep = (left: FlannelVtep, right: FlannelVtep): boolean =>
  sameAddress(left.address, right.address) && left.mac === right.mac && left.vni === right.vni

const sameList = <T>(
  left: readonly T[],
  right: readonly T[],
  isSame: (left: T, right: T) => boolean,
): boolean =>
  left.length === right.length &&
  left.every((item, at) => {
    const other = right[at]
    return other !== undefined && isSame(item, other)
  })
