import type { Prefix } from '../base/prefix.ts'
import type { EndpointSelector } from '../cluster/endpoint-selector.ts'
import type { Namespace } from '../cluster/namespace.ts'
import type { Direction } from '../cluster/network-policy.ts'
import type { ClusterNode } from '../cluster/node.ts'
import type { Pod } from '../cluster/pod.ts'
import type { PolicyMode } from '../cluster/policy-mode.ts'
import type { PolicyPort } from '../cluster/policy-port.ts'
import type { Service } from '../cluster/service.ts'

/**
 * What NetworkPolicy and CiliumNetworkPolicy both are: pods, directions that are closed to them,
 * and rules that open or close. Order, names and ages never matter (P12).
 */
export type Policy = {
  readonly kind: 'NetworkPolicy' | 'CiliumNetworkPolicy'
  readonly namespace: string
  readonly name: string
  /** "spec", or one of a CiliumNetworkPolicy's "specs[1]". */
  readonly path: string
  /** Absent: as its namespace says. */
  readonly mode?: PolicyMode
  readonly subjects: EndpointSelector
  /** Directions in which its subjects reach, and are reached by, only what a rule allows (P11). */
  readonly isolates: Readonly<Record<Direction, boolean>>
  readonly rules: readonly Rule[]
}

/** Matches what one of its peers and one of its ports match (P15). A deny beats every allow. */
export type Rule = {
  /** "spec.ingress[0]" */
  readonly path: string
  readonly direction: Direction
  readonly action: 'allow' | 'deny'
  /** Of none, nobody. */
  readonly peers: readonly Peer[]
  /** Absent: any port of any protocol, ICMP too. Of none, nothing. */
  readonly ports?: readonly PolicyPort[]
}

export type Peer =
  | { readonly kind: 'anybody' }
  /** Pods that are neither done nor the node itself. */
  | { readonly kind: 'pods'; readonly selector: EndpointSelector }
  /** The node of the pod that the rule is about, or any other one. */
  | { readonly kind: 'own-node' | 'other-nodes' }
  /** Addresses: `anybody`'s (NetworkPolicy, P24), or those of neither pod nor node (Cilium). */
  | {
      readonly kind: 'block'
      readonly of: 'anybody' | 'world'
      readonly cidr: Prefix
      readonly except: readonly Prefix[]
    }

/** Everything that a verdict depends on. */
export type Cluster = {
  /** A pod's namespace that is missing here has its name for a label and no other. */
  readonly namespaces: ReadonlyMap<string, Namespace>
  readonly pods: readonly Pod[]
  readonly nodes: readonly ClusterNode[]
  readonly policies: readonly Policy[]
  /** Policies judge behind them; what they do to addresses and ports is `lint`'s to tell. */
  readonly services?: readonly Service[]
}
