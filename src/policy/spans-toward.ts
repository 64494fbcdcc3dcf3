import type { Address } from '../base/address.ts'
import { spansAt } from './blocks.ts'
import { firstPodIdentity, type Identity, type Profile, type Reach, type Spans } from './program.ts'
import { difference, everySpan, nothing, union } from './spans.ts'

/** The other end of a connection, as a profile sees it. */
export type Peer = {
  readonly address: Address
  /** None: nobody of the cluster. */
  readonly identity: Identity | undefined
  readonly isOwnNode: boolean
}

/** All that a profile lets pass between its pods and the peer. */
export function spansToward(profile: Profile, peer: Peer): Spans {
  const { direction, denies, isIsolated, allows } = profile
  if (direction === 'ingress' && peer.isOwnNode) return everySpan // P30
  const denied = denies.reduce((sum, one) => union(sum, meantSpans(one.reach, peer)), nothing)
  return difference(isIsolated ? meantSpans(allows, peer) : everySpan, denied)
}

function meantSpans(reach: Reach, { identity, isOwnNode, address }: Peer): Spans {
  const isPod = identity !== undefined && identity >= firstPodIdentity
  const ways = [
    reach.anybody,
    isOwnNode ? reach.ownNode : nothing,
    isPod ? reach.pods : nothing,
    identity === undefined
      ? spansAt(reach.world, address)
      : (reach.identities.get(identity) ?? nothing),
    spansAt(reach.blocks, address),
  ]
  return ways.reduce(union, nothing)
}
