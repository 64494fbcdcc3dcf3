import { endOf, isOwnNode, logging, type Side } from '../datapath/policy-table.ts'
import type { Profile, Reach } from '../policy/program.ts'
import { lookup, register, type Verdict, verdict } from '../wire/nft/expression.ts'
import { count } from '../wire/nft/notice.ts'
import type { Rule } from '../wire/nft/table.ts'
import { reachRules } from './policy-rules.ts'
import { type PolicySet, setsOfReach } from './policy-sets.ts'

export type PolicyChain = { readonly chain: string; readonly rules: readonly Rule[] }

/** Everything of a profile that is in the table; chains come before those that jump to them. */
export type ProfileParts = {
  readonly counters: readonly PolicyCounter[]
  readonly sets: readonly PolicySet[]
  readonly chains: readonly PolicyChain[]
}

export type PolicyCounter = {
  readonly counter: string
  /** Dropped; only told of; dropped before there was a verdict. */
  readonly action: 'deny' | 'audit' | 'closed'
  readonly direction: Side
  /** Whose refusals it counts: "shop/api", or several. */
  readonly policies: readonly string[]
}

type Plain = Omit<Profile, 'audit'>

const denialChain = (chain: string, at: number): string => `deny${at}-${chain}`
const auditChain = (profile: Profile): string => `audit-${profile.name}`

/** Those of the skeleton. */
export const closedCounters: readonly PolicyCounter[] = (['egress', 'ingress'] as const).map(
  (direction) => ({ counter: `closed-${direction}`, action: 'closed', direction, policies: [] }),
)

export const countersOf = (profile: Profile): readonly PolicyCounter[] => [
  ...(profile.audit ? ownCounters(profile.audit, auditChain(profile), 'audit') : []),
  ...ownCounters(profile, profile.name, 'deny'),
]

const ownCounters = (
  { direction, policies, denies, isIsolated }: Plain,
  chain: string,
  action: PolicyCounter['action'],
): readonly PolicyCounter[] => [
  ...denies.map(({ policy }, at) => ({
    counter: denialChain(chain, at),
    action,
    direction,
    policies: [policy],
  })),
  ...(isIsolated ? [{ counter: chain, action, direction, policies }] : []),
]

export function partsOf(profile: Profile): ProfileParts {
  const { audit, direction } = profile
  const before = firstRules(direction)
  if (!audit) return judging(profile, profile.name, { before, action: 'deny', passes: 'return' })
  const chain = auditChain(profile)
  const tried = judging(audit, chain, { before: [], action: 'audit', passes: 'return' })
  const inForce = judging(profile, profile.name, {
    before,
    action: 'deny',
    passes: { goto: chain },
  })
  return {
    counters: [...tried.counters, ...inForce.counters],
    sets: [...tried.sets, ...inForce.sets],
    chains: [...tried.chains, ...inForce.chains],
  }
}

const firsts = new Map<Side, readonly Rule[]>()
/** The same in every chain of a side. */
function firstRules(side: Side): readonly Rule[] {
  const rules = firsts.get(side) ?? [...ownNodeRules(side), ...itselfRules()]
  firsts.set(side, rules)
  return rules
}

/** Probes must not end (P30); what a pod sends to its own node is judged (P31). */
const ownNodeRules = (side: Side): readonly Rule[] =>
  side === 'egress'
    ? []
    : isOwnNode('ingress').map((is) => ({
        comment: 'its own node',
        expressions: [...is, verdict('return')],
      }))

/** Through a Service, as without one it never comes here (P34); once for each side. */
const itselfRules = (): readonly Rule[] =>
  ([4, 6] as const).map((family) => ({
    comment: 'itself',
    expressions: [
      endOf(family, 'original', register(0)),
      endOf(family, 'reply', register(family === 4 ? 1 : 4)),
      lookup(`itself${family}`, register(0)),
      verdict('return'),
    ],
  }))

type Manner = {
  readonly before: readonly Rule[]
  readonly action: 'deny' | 'audit'
  /** What becomes of a packet that may pass. */
  readonly passes: Verdict
}

/** What is refused is told, counted, and dropped; of what is only tried out it passes. */
const refusing = (
  { counter, action, direction, policies }: PolicyCounter,
  comment: string,
): readonly Rule[] => [
  logging(`tulle ${action} ${direction} ${policies.join(' ')}`),
  { comment, expressions: [count(counter), verdict(action === 'deny' ? 'drop' : 'return')] },
]

/** Its own node is let in before anything is asked. */
const asked = (side: Side, reach: Reach): Reach =>
  side === 'ingress' ? { ...reach, ownNode: [] } : reach

function judging(profile: Plain, chain: string, { before, action, passes }: Manner): ProfileParts {
  const { direction, policies, isIsolated } = profile
  const allows = asked(direction, profile.allows)
  const counters = ownCounters(profile, chain, action)
  const denials = profile.denies.map(({ policy, ...denial }, at) => {
    const name = denialChain(chain, at)
    const reach = asked(direction, denial.reach)
    const counter = { counter: name, action, direction, policies: [policy] }
    const sets = setsOfReach(name, reach)
    return {
      sets,
      rules: reachRules({ chain: name, side: direction, reach }, sets, { goto: name }),
      chain: { chain: name, rules: refusing(counter, `denied by ${policy}`) },
    }
  })
  const allowed = isIsolated ? setsOfReach(chain, allows) : []
  const allowing = isIsolated
    ? reachRules({ chain, side: direction, reach: allows }, allowed, passes)
    : []
  // Where all end in the same, what most are goes first: the rest costs a look-up of routes.
  const inOrder = (denying: readonly Rule[]): readonly Rule[] =>
    denying.length === 0 && passes === 'return'
      ? [...allowing, ...before]
      : [...before, ...denying, ...allowing]
  const own = { counter: chain, action, direction, policies }
  const last = isIsolated
    ? refusing(own, `not allowed by ${policies.join(', ')}`)
    : [{ comment: 'anything else', expressions: [verdict(passes)] }]
  return {
    counters,
    sets: [...denials.flatMap(({ sets }) => sets), ...allowed],
    chains: [
      ...denials.map((denial) => denial.chain),
      { chain, rules: [...inOrder(denials.flatMap(({ rules }) => rules)), ...last] },
    ],
  }
}
