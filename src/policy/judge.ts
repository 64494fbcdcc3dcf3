import { type Address, formatAddress, sameAddress } from '../base/address.ts'
import type { Direction } from '../cluster/network-policy.ts'
import { spansAt } from './blocks.ts'
import {
  firstPodIdentity,
  type Identity,
  ownNodeIdentity,
  type Profile,
  type Program,
  type Reach,
} from './program.ts'
import { includes } from './spans.ts'

/** One end of a connection, looked up in a program. */
export type Party = {
  readonly address: Address
  /** None: nobody of the cluster. */
  readonly identity: Identity | undefined
  /** One of this node's own addresses. */
  readonly isOwnNode: boolean
  /** Profiles of a pod of this node that a policy asks something of. */
  readonly egress: Profile | undefined
  readonly ingress: Profile | undefined
}

/** What was asked of a party: its protocol's number and the destination port; of ICMP any port. */
export type Asked = { readonly protocol: number; readonly port: number }

export type Judgement = {
  readonly isAllowed: boolean
  readonly egress: Decision
  readonly ingress: Decision
}

export type Decision = {
  readonly passes: boolean
  readonly why: 'open' | 'own-node' | 'itself' | 'denied' | 'allowed' | 'not-isolated' | 'isolated'
  /** Passes, and would not if the policies that are tried out were enforced. */
  readonly isAudited?: true
}

/**
 * Who an address is to the node of the program. Addresses that the kernel knows for local ones
 * (`fib … type local`) and the cluster does not are told by the caller.
 */
export function partyOf(
  { identities, subjects, profiles }: Program,
  address: Address,
  localAddresses: ReadonlySet<string> = new Set(),
): Party {
  const text = formatAddress(address)
  const identity = identities.get(text)
  const subject = subjects.get(text)
  const profileOf = (direction: Direction): Profile | undefined => {
    const name = subject?.[direction]
    const profile = name === undefined ? undefined : profiles.get(name)
    if (name !== undefined && !profile) throw new Error(`Cannot find the profile ${name}`)
    return profile
  }
  return {
    address,
    identity,
    isOwnNode: identity === ownNodeIdentity || localAddresses.has(text),
    egress: profileOf('egress'),
    ingress: profileOf('ingress'),
  }
}

/**
 * Reads a program as the node's kernel does. What only another node knows of the connection is not
 * in it: it passes where both nodes let it.
 */
export function judge(from: Party, to: Party, asked: Asked): Judgement {
  const egress = decide(from.egress, from, to, asked)
  const ingress = egress.passes ? decide(to.ingress, to, from, asked) : decisions.open
  return { isAllowed: egress.passes && ingress.passes, egress, ingress }
}

const decisions = {
  open: { passes: true, why: 'open' },
  ownNode: { passes: true, why: 'own-node' },
  itself: { passes: true, why: 'itself' },
  denied: { passes: false, why: 'denied' },
  allowed: { passes: true, why: 'allowed' },
  notIsolated: { passes: true, why: 'not-isolated' },
  isolated: { passes: false, why: 'isolated' },
} as const satisfies Record<string, Decision>

/** The order of a profile's chain. */
function decide(profile: Profile | undefined, subject: Party, peer: Party, asked: Asked): Decision {
  if (!profile) return decisions.open
  if (profile.direction === 'ingress' && peer.isOwnNode) return decisions.ownNode // P30
  if (sameAddress(subject.address, peer.address)) return decisions.itself // P34
  const decision = decideBy(profile, peer, asked)
  const isAudited =
    decision.passes && profile.audit !== undefined && !decideBy(profile.audit, peer, asked).passes
  return isAudited ? { ...decision, isAudited } : decision
}

function decideBy(
  { denies, isIsolated, allows }: Omit<Profile, 'audit'>,
  peer: Party,
  asked: Asked,
): Decision {
  for (const { reach } of denies) if (reaches(reach, peer, asked)) return decisions.denied
  if (!isIsolated) return decisions.notIsolated
  return reaches(allows, peer, asked) ? decisions.allowed : decisions.isolated
}

function reaches(reach: Reach, peer: Party, { protocol, port }: Asked): boolean {
  const { identity, isOwnNode, address } = peer
  if (includes(reach.anybody, protocol, port)) return true
  if (isOwnNode && includes(reach.ownNode, protocol, port)) return true
  if (identity !== undefined) {
    if (identity >= firstPodIdentity && includes(reach.pods, protocol, port)) return true
    const spans = reach.identities.get(identity)
    if (spans && includes(spans, protocol, port)) return true
  } else if (reach.world.length > 0 && includes(spansAt(reach.world, address), protocol, port))
    return true
  return reach.blocks.length > 0 && includes(spansAt(reach.blocks, address), protocol, port)
}
