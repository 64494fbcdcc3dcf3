import type { Prefix } from '../base/prefix.ts'
import type { EndpointSelector } from './endpoint-selector.ts'
import type { Direction } from './network-policy.ts'
import type { PolicyMode } from './policy-mode.ts'
import type { PolicyPort } from './policy-port.ts'

/** A CiliumNetworkPolicy (cilium.io/v2), as far as it is about addresses and ports. */
export type CiliumPolicy = {
  readonly namespace: string
  readonly name: string
  /** Absent: as its namespace says. */
  readonly mode?: PolicyMode
  readonly specs: readonly CiliumSpec[]
}

/** `spec`, or one of `specs`. */
export type CiliumSpec = {
  /** "spec", "specs[1]" */
  readonly path: string
  /** In the policy's own namespace, whatever it says of namespaces. */
  readonly endpointSelector: EndpointSelector
  /** Which directions are closed but for what is allowed. */
  readonly isDefaultDeny: Readonly<Record<Direction, boolean>>
  readonly rules: readonly CiliumRule[]
}

export type CiliumRule = {
  /** "spec.ingressDeny[0]" */
  readonly path: string
  readonly direction: Direction
  readonly action: 'allow' | 'deny'
  /** Not so: something in it could not be read. `peers` and `ports` are what could. */
  readonly isWhole: boolean
  /** Absent: anybody. Empty: nobody. */
  readonly peers?: readonly CiliumPeer[]
  /** Absent: any port of any protocol. Empty: none. */
  readonly ports?: readonly PolicyPort[]
}

/**
 * Those that Tulle knows addresses of: `cluster` is pods and nodes, `host` the pod's own node,
 * `world` what is neither pod nor node.
 */
export const entities = [
  'all',
  'cluster',
  'host',
  'remote-node',
  'world',
  'world-ipv4',
  'world-ipv6',
  'none',
] as const
export type Entity = (typeof entities)[number]

export type CiliumPeer =
  | { readonly kind: 'endpoints'; readonly selector: EndpointSelector }
  | { readonly kind: 'entity'; readonly entity: Entity }
  /** Addresses of the world; never a pod, never a node. */
  | { readonly kind: 'block'; readonly cidr: Prefix; readonly except: readonly Prefix[] }
