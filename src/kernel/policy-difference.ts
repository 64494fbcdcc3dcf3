import { sameBytes } from '../base/bytes.ts'
import { PersistentMap } from '../base/persistent-map.ts'
import { policyTable } from '../datapath/policy-table.ts'
import type { Profile, Program } from '../policy/program.ts'
import type { Query } from '../wire/netlink/message.ts'
import {
  deleteElements,
  newElements,
  type PlainElement,
  textOfElement,
} from '../wire/nft/element-list.ts'
import { deleteCounter, newCounter } from '../wire/nft/notice.ts'
import { deleteSet, newSet } from '../wire/nft/set.ts'
import {
  type ChainName,
  deleteChain,
  flushChain,
  newChain,
  newRule,
  type Rule,
} from '../wire/nft/table.ts'
import { type PolicyChain, type PolicyCounter, partsOf } from './policy-chains.ts'
import { mapChanges } from './policy-maps.ts'
import type { PolicySet } from './policy-sets.ts'

export const emptyProgram: Program = {
  identities: new Map(),
  subjects: new Map(),
  profiles: new Map(),
}

/**
 * From one program to the next, in the order that the kernel takes in one batch: what is referred
 * to comes before what refers to it, and goes after it. None if they are the same. Profiles and
 * maps that are the same object are not looked into.
 */
export function changeQueries(before: Program, after: Program): readonly Query[] {
  const was = new Parts()
  const is = new Parts()
  for (const { before: old, after: now } of PersistentMap.changes(
    before.profiles,
    after.profiles,
  )) {
    if (old) was.add(old)
    if (now) is.add(now)
  }
  const counters = apart(was.counters, is.counters)
  const sets = apart(was.sets, is.sets)
  const chains = apart(was.chains, is.chains)
  const changed = chains.both.filter(([old, now]) => !sameRules(old.rules, now.rules))
  const filled = [...chains.come, ...changed.map(([, now]) => now)]
  return [
    ...counters.come.map(({ counter, policies }) =>
      newCounter({ ...policyTable, counter }, policies.join(' ')),
    ),
    ...sets.come.flatMap(setQueries),
    ...sets.both.flatMap(([old, now]) => elementQueries(now.set, elementChange(old, now))),
    ...chains.come.map(({ chain }) => newChain(named(chain))),
    ...changed.map(([{ chain }]) => flushChain(named(chain))),
    ...filled.flatMap(({ chain, rules }) => rules.map((rule) => newRule(named(chain), rule))),
    ...mapChanges(before, after).flatMap(({ set, ...change }) => elementQueries(set, change)),
    ...chains.gone.map(({ chain }) => flushChain(named(chain))),
    ...chains.gone.map(({ chain }) => deleteChain(named(chain))),
    ...sets.gone.map(({ set }) => deleteSet({ ...policyTable, set })),
    ...counters.gone.map(({ counter }) => deleteCounter({ ...policyTable, counter })),
  ]
}

const named = (chain: string): ChainName => ({ ...policyTable, chain })

/** What is in the table of these profiles, by name. */
class Parts {
  readonly counters = new Map<string, PolicyCounter>()
  readonly sets = new Map<string, PolicySet>()
  readonly chains = new Map<string, PolicyChain>()

  add(profile: Profile): void {
    const { counters, sets, chains } = partsOf(profile)
    for (const one of counters) this.counters.set(one.counter, one)
    for (const one of sets) this.sets.set(one.set, one)
    for (const one of chains) this.chains.set(one.chain, one)
  }
}

type Apart<T> = {
  readonly gone: readonly T[]
  readonly come: readonly T[]
  readonly both: readonly (readonly [T, T])[]
}

function apart<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>): Apart<T> {
  const gone: T[] = []
  const both: (readonly [T, T])[] = []
  for (const [name, old] of before) {
    const now = after.get(name)
    if (now === undefined) gone.push(old)
    else both.push([old, now])
  }
  const come = [...after].flatMap(([name, now]) => (before.has(name) ? [] : [now]))
  return { gone, come, both }
}

const sameRules = (old: readonly Rule[], now: readonly Rule[]): boolean =>
  old.length === now.length && old.every((rule, at) => sameRule(rule, now[at]))

const sameRule = (old: Rule, now: Rule | undefined): boolean =>
  now !== undefined &&
  old.comment === now.comment &&
  old.expressions.length === now.expressions.length &&
  old.expressions.every((one, at) => sameBytes(one, now.expressions[at] ?? new Uint8Array()))

/** Behind those of the skeleton. */
const firstSetId = 1000

const setQueries = ({ set, key, interval, elements }: PolicySet, at: number): readonly Query[] => [
  newSet({
    ...policyTable,
    set,
    key,
    verdicts: false,
    id: firstSetId + at,
    ...(interval ? { interval } : {}),
  }),
  ...newElements({ ...policyTable, set }, elements),
]

export type ElementChange = {
  readonly gone: readonly PlainElement[]
  readonly come: readonly PlainElement[]
}

const elementQueries = (set: string, { gone, come }: ElementChange): readonly Query[] => [
  ...deleteElements({ ...policyTable, set }, gone),
  ...newElements({ ...policyTable, set }, come),
]

/** The name says what its key is: a set of the same name has the same. */
export function elementChange(old: PolicySet, now: PolicySet): ElementChange {
  const was = new Set(old.elements.map(textOfElement))
  const is = new Set(now.elements.map(textOfElement))
  return {
    gone: old.elements.filter((element) => !is.has(textOfElement(element))),
    come: now.elements.filter((element) => !was.has(textOfElement(element))),
  }
}
