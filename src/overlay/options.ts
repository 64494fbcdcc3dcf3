import type { Prefix } from '../base/prefix.ts'
import type { RouteMode } from '../cluster/node.ts'

/** What people choose of the way to other nodes; the same for plugin and agent. */
export type OverlayOptions = {
  /** For every node that asks for nothing else. */
  readonly mode: RouteMode
  /** VXLAN network identifier, 1 … 16777215 (RFC 7348 section 5). */
  readonly vni: number
  /** UDP destination port of the tunnel. */
  readonly port: number
  /** MTU of the tunnel; left out, it follows from the uplink's. */
  readonly mtuBytes?: number
  /** What is inside the cluster and never masqueraded; left out, every node's podCIDRs. */
  readonly clusterCIDRs?: readonly Prefix[]
}

/** Flannel's: VNI 1, and the port that Linux took before IANA gave 4789. */
export const defaultOverlay: OverlayOptions = { mode: 'auto', vni: 1, port: 8472 }
