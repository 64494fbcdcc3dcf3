import { hexDigestOf } from '../base/digest.ts'
import { sameValue } from '../base/same-value.ts'
import type { EndpointSelector } from '../cluster/endpoint-selector.ts'
import type { Direction } from '../cluster/network-policy.ts'
import type { Pod } from '../cluster/pod.ts'
import type { PolicyMode } from '../cluster/policy-mode.ts'
import { wordOf } from './mentions.ts'
import type { Policy, Rule } from './model.ts'
import { type PodClass, portsByWord } from './pod-classes.ts'
import type { Denial, Profile } from './program.ts'
import { noReach, type RuleContext, reachOf } from './rule-reach.ts'
import type { Selection } from './selections.ts'

/** A policy that selects a pod, and whether it is enforced or only tried out. */
export type Applied = { readonly policy: Policy; readonly mode: PolicyMode }

export type Select = (selector: EndpointSelector) => Selection

/** What a profile is made of: equal for pods of the same policies. */
export type Ask = {
  readonly key: string
  readonly direction: Direction
  readonly applied: readonly Applied[]
  readonly ownPorts: OwnPorts
}

/** Of policies in an order that depends on them alone; nothing where they close nothing. */
export function askOf(
  direction: Direction,
  all: readonly Applied[],
  ports: Pod['ports'],
): Ask | undefined {
  const applied = all.filter(({ policy }) => isAbout(policy, direction))
  if (!applied.some(({ policy }) => isClosing(policy, direction))) return undefined
  const ownPorts: OwnPorts = direction === 'ingress' ? ownPortsOf(ports, applied) : new Map()
  return { key: keyOf(direction, applied, ownPorts), direction, applied, ownPorts }
}

type Known = {
  readonly ask: Ask
  /** What the profile was made of, and has to be made anew of when it changed. */
  readonly selections: ReadonlyMap<Selection, readonly PodClass[]>
  readonly profile: Profile
}

/** Profiles by what makes them: an unchanged one is the same object. */
export class Profiles {
  readonly #known = new Map<string, Known>()
  /** Keys that were asked for since the last `settle`. */
  #used = new Set<string>()

  of(ask: Ask, select: Select): Profile {
    const { key } = ask
    const known = this.#known.get(key)
    if (known && (this.#used.has(key) || isValid(known, ask))) {
      this.#used.add(key)
      return known.profile
    }
    const made = makeProfile(ask, select)
    const profile = known && sameValue(known.profile, made.profile) ? known.profile : made.profile
    this.#known.set(key, { ask, selections: made.selections, profile })
    this.#used.add(key)
    return profile
  }

  /** Those in use, and what they look at; the others are forgotten. */
  settle(): { readonly profiles: readonly Profile[]; readonly selections: ReadonlySet<Selection> } {
    for (const key of this.#known.keys()) if (!this.#used.has(key)) this.#known.delete(key)
    this.#used = new Set()
    const all = [...this.#known.values()]
    return {
      profiles: all.map(({ profile }) => profile),
      selections: new Set(all.flatMap(({ selections }) => [...selections.keys()])),
    }
  }
}

const isAbout = ({ isolates, rules }: Policy, direction: Direction): boolean =>
  isolates[direction] || rules.some((rule) => rule.direction === direction)

/** Whether it can make a connection end: allowing alone asks for nothing. */
const isClosing = ({ isolates, rules }: Policy, direction: Direction): boolean =>
  isolates[direction] ||
  rules.some((rule) => rule.direction === direction && rule.action === 'deny')

function isValid({ ask, selections }: Known, { applied }: Ask): boolean {
  const isOther = ({ policy }: Applied, at: number): boolean => policy !== applied[at]?.policy
  if (ask.applied !== applied && ask.applied.some(isOther)) return false
  for (const [selection, classes] of selections) if (selection.classes !== classes) return false
  return true
}

type OwnPorts = ReadonlyMap<string, readonly number[]>

/** The pod's own numbers for the names that its policies use. */
function ownPortsOf(ports: Pod['ports'], applied: readonly Applied[]): OwnPorts {
  const words = new Set(
    applied.flatMap(({ policy }) =>
      rulesOf(policy, 'ingress').flatMap((rule) =>
        (rule.ports ?? []).flatMap((port) => wordOf(port) ?? []),
      ),
    ),
  )
  return words.size === 0 ? new Map() : portsByWord(ports, words)
}

/** Names of policies and not their contents, so that a policy's edit keeps the profile's name. */
function keyOf(direction: Direction, applied: readonly Applied[], ownPorts: OwnPorts): string {
  const policies = applied.map(({ policy, mode }) => `${policyKey(policy)} ${mode}`)
  const numbers = [...ownPorts].map(([word, ports]) => `${word}=${ports.join(',')}`).sort()
  return [direction, ...policies, ...numbers].join('\n')
}

/** "NetworkPolicy shop/api spec" */
export const policyKey = ({ kind, namespace, name, path }: Policy): string =>
  `${kind} ${namespace}/${name} ${path}`

const hexDigits = 12
const prefixes = { ingress: 'in-', egress: 'out-' } as const satisfies Record<Direction, string>

function makeProfile({ key, direction, applied, ownPorts }: Ask, select: Select) {
  const selections = new Map<Selection, readonly PodClass[]>()
  const context: RuleContext = {
    ownPorts,
    select: (selector) => {
      const selection = select(selector)
      selections.set(selection, selection.classes)
      return selection.classes
    },
  }
  const enforced = applied.filter(({ mode }) => mode === 'enforce')
  const name = prefixes[direction] + hexDigestOf(key, hexDigits)
  const profile: Profile = {
    ...sayingOf(direction, name, enforced, context),
    ...(enforced.length === applied.length
      ? {}
      : { audit: sayingOf(direction, name, applied, context) }),
  }
  return { profile, selections }
}

function sayingOf(
  direction: Direction,
  name: string,
  applied: readonly Applied[],
  context: RuleContext,
): Omit<Profile, 'audit'> {
  const policies = applied.map(({ policy }) => policy)
  const isolating = policies.filter(({ isolates }) => isolates[direction])
  const allows = policies.flatMap((policy) => rulesOf(policy, direction, 'allow'))
  return {
    name,
    direction,
    isIsolated: isolating.length > 0,
    policies: [...new Set(isolating.map(titleOf))].sort(),
    denies: denialsOf(direction, policies, context),
    // where nothing is closed there is nothing to allow
    allows: isolating.length > 0 ? reachOf(allows, context) : noReach,
  }
}

function denialsOf(
  direction: Direction,
  policies: readonly Policy[],
  context: RuleContext,
): readonly Denial[] {
  const byTitle = Map.groupBy(policies, titleOf)
  return [...byTitle].flatMap(([policy, parts]) => {
    const rules = parts.flatMap((part) => rulesOf(part, direction, 'deny'))
    return rules.length === 0 ? [] : [{ policy, reach: reachOf(rules, context) }]
  })
}

/** "shop/api", as logs and counters have it. */
const titleOf = ({ namespace, name }: Policy): string => `${namespace}/${name}`

const rulesOf = (
  { rules }: Policy,
  direction: Direction,
  action?: Rule['action'],
): readonly Rule[] =>
  rules.filter(
    (rule) => rule.direction === direction && (action === undefined || rule.action === action),
  )
