import type { Prefix } from '../base/prefix.ts'

/** IP protocol numbers of what Services speak. */
export const transportNumbers = { TCP: 6, UDP: 17, SCTP: 132 } as const

/** Ports of the node that only these clients reach; none: nobody but the node itself. */
export type GuardedPorts = {
  /** Both included. */
  readonly first: number
  readonly last: number
  /** An IP protocol's number. */
  readonly protocol: number
  readonly from: readonly Prefix[]
}
