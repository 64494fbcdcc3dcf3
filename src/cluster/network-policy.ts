import type { Prefix } from '../base/prefix.ts'
import type { LabelSelector } from './label-selector.ts'
import type { PolicyMode } from './policy-mode.ts'
import type { PolicyPort } from './policy-port.ts'

export const directions = ['ingress', 'egress'] as const
/** As seen from the pod that a policy selects. */
export type Direction = (typeof directions)[number]

/** A NetworkPolicy (networking.k8s.io/v1) with the API server's defaults in place. */
export type NetworkPolicy = {
  readonly namespace: string
  readonly name: string
  /** Absent: as its namespace says. */
  readonly mode?: PolicyMode
  readonly podSelector: LabelSelector
  /** `policyTypes` (P1). */
  readonly directions: readonly Direction[]
  readonly rules: readonly NetworkPolicyRule[]
}

export type NetworkPolicyRule = {
  /** "spec.ingress[0]" */
  readonly path: string
  readonly direction: Direction
  /** Not so: something in it could not be read, and it allows nothing. */
  readonly isWhole: boolean
  /** Absent: anybody, inside and outside. */
  readonly peers?: readonly NetworkPolicyPeer[]
  /** Absent: any port of any protocol. */
  readonly ports?: readonly PolicyPort[]
}

export type NetworkPolicyPeer =
  | {
      readonly kind: 'pods'
      /** Absent: all pods. */
      readonly podSelector?: LabelSelector
      /** Absent: the policy's own namespace. */
      readonly namespaceSelector?: LabelSelector
    }
  | { readonly kind: 'block'; readonly cidr: Prefix; readonly except: readonly Prefix[] }
