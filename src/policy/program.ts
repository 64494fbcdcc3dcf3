import type { Direction } from '../cluster/network-policy.ts'

// What one node's kernel is to enforce, in plain values: `compile` makes it of the cluster, the
// kernel's part encodes it, and `judge` reads it as the kernel does. What a packet meets does not
// grow with policies, pods or selectors: who its other end is, is one look-up, and what a pod's
// policies allow that one is another.

/**
 * Pods of one namespace that no selector, and no name of a port, of any policy can tell apart have
 * one number; so have all other nodes. From `firstPodIdentity` on they are pods.
 */
export type Identity = number
export const nodeIdentity: Identity = 1
/** What is known of this node's own addresses, so that `world` is not them: rules name it never. */
export const ownNodeIdentity: Identity = 2
export const firstPodIdentity: Identity = 256

export type Program = {
  /**
   * Who an address is, as `formatAddress` writes it: every pod's and node's of the cluster. What
   * differs from the program before, `PersistentMap.changes` finds without a walk over all.
   */
  readonly identities: ReadonlyMap<string, Identity>
  /** This node's pods by their addresses: names of profiles. */
  readonly subjects: ReadonlyMap<string, Subject>
  readonly profiles: ReadonlyMap<string, Profile>
}

/** Absent: nothing is asked in that direction. */
export type Subject = Readonly<Partial<Record<Direction, string>>>

/** What the policies of a pod say of one direction; pods of the same policies share it. */
export type Profile = {
  /** "in-" or "out-" and 12 hex digits: the same for the same policies of the same pods. */
  readonly name: string
  readonly direction: Direction
  /** What no rule allows is dropped; else it passes (P10). */
  readonly isIsolated: boolean
  /** Whose isolation it is, "shop/api", for logs and counters. */
  readonly policies: readonly string[]
  /** Asked first; one for each policy that denies, so that a log can name it. */
  readonly denies: readonly Denial[]
  readonly allows: Reach
  /** The same with the policies that are only tried out: what it refuses is logged, and passes. */
  readonly audit?: Omit<Profile, 'audit'>
}

export type Denial = { readonly policy: string; readonly reach: Reach }

/** Ways to be meant; any of them is enough. */
export type Reach = {
  /** Anybody, inside and outside. */
  readonly anybody: Spans
  /** Any pod. */
  readonly pods: Spans
  /** The pod's own node, whatever address of it. */
  readonly ownNode: Spans
  /** Disjoint spans by identity. */
  readonly identities: ReadonlyMap<Identity, Spans>
  /** By address alone, pods and nodes too: disjoint ranges in order, IPv4 before IPv6. */
  readonly blocks: readonly BlockSpans[]
  /** As `blocks`, for addresses without an identity. */
  readonly world: readonly BlockSpans[]
}

/** Both ends included. */
export type BlockSpans = {
  readonly family: 4 | 6
  readonly first: bigint
  readonly last: bigint
  readonly spans: Spans
}

/**
 * Disjoint, merged, in order. `everything` is any protocol and any port, and stands alone then.
 */
export type Spans = readonly Span[]
/** Numbers of IP protocols (6, 17, 132) and destination ports, all ends included. */
export type Span = {
  readonly firstProtocol: number
  readonly lastProtocol: number
  readonly firstPort: number
  readonly lastPort: number
}

export const everything: Span = {
  firstProtocol: 0,
  lastProtocol: 255,
  firstPort: 0,
  lastPort: 65_535,
}
