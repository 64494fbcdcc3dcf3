import { PersistentMap } from '../base/persistent-map.ts'
import type { Program, Subject } from '../policy/program.ts'
import type { PlainElement } from '../wire/nft/element-list.ts'
import type { Verdict } from '../wire/nft/expression.ts'
import { concatenate } from '../wire/nft/set.ts'
import { bytesOfAddress, identityBytes } from './policy-sets.ts'

/** What the skeleton's sets and maps are to lose and to get. */
export type MapChange = {
  readonly set: string
  readonly gone: readonly PlainElement[]
  readonly come: readonly PlainElement[]
}

/** A pod that nothing isolates has a verdict too: without one it is closed. */
const verdictOf = (subject: Subject, side: 'egress' | 'ingress'): Verdict => {
  const profile = subject[side]
  return profile === undefined ? 'return' : { goto: profile }
}

/** Maps that are the same object are not looked into. */
export function mapChanges(before: Program, after: Program): readonly MapChange[] {
  const changes = new Map<string, { gone: PlainElement[]; come: PlainElement[] }>()
  const note = (what: 'gone' | 'come', set: string, element: PlainElement): void => {
    const change = changes.get(set) ?? { gone: [], come: [] }
    changes.set(set, change)
    change[what].push(element)
  }
  each(before.identities, after.identities, (address, old, now) => {
    const key = bytesOfAddress(address)
    const family = key.length === 4 ? 4 : 6
    if (old !== undefined) note('gone', `identity${family}`, { key, value: identityBytes(old) })
    if (now !== undefined) note('come', `identity${family}`, { key, value: identityBytes(now) })
    if (old === undefined) note('come', `known${family}`, { key })
    if (now === undefined) note('gone', `known${family}`, { key })
  })
  each(before.subjects, after.subjects, (address, old, now) => {
    const key = bytesOfAddress(address)
    const family = key.length === 4 ? 4 : 6
    for (const side of ['egress', 'ingress'] as const) {
      const [was, is] = [old, now].map((subject) => subject && verdictOf(subject, side))
      if (sameVerdict(was, is)) continue
      if (was) note('gone', `${side}${family}`, { key, verdict: was })
      if (is) note('come', `${side}${family}`, { key, verdict: is })
    }
    const both = { key: concatenate([key, key]) }
    if (old === undefined) note('come', `itself${family}`, both)
    if (now === undefined) note('gone', `itself${family}`, both)
  })
  return [...changes].map(([set, change]) => ({ set, ...change }))
}

const sameVerdict = (one: Verdict | undefined, other: Verdict | undefined): boolean =>
  typeof one === 'object' && typeof other === 'object'
    ? 'goto' in one && 'goto' in other && one.goto === other.goto
    : one === other

/** Every key whose values are not the same; of what the two maps share nothing is looked into. */
export function each<T>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  visit: (key: string, old: T | undefined, now: T | undefined) => void,
): void {
  for (const change of PersistentMap.changes(before, after))
    visit(change.key, change.before, change.after)
}
