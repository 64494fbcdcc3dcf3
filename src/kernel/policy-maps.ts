import { PersistentMap } from '../base/persistent-map.ts'
import type { Identity, Program, Subject } from '../policy/program.ts'
import type { PlainElement } from '../wire/nft/element-list.ts'
import type { Verdict } from '../wire/nft/expression.ts'
import { concatenate } from '../wire/nft/set.ts'
import { bytesOfAddress, identityBytes } from './policy-sets.ts'

/** What the skeleton's sets and maps are to lose and to get. */
export type SetChange = {
  readonly set: string
  readonly gone: readonly PlainElement[]
  readonly come: readonly PlainElement[]
}

/** A pod that nothing isolates has a verdict too: without one it is closed. */
const verdictOf = (subject: Subject, side: 'egress' | 'ingress'): Verdict => {
  const profile = subject[side]
  return profile === undefined ? 'return' : { goto: profile }
}

/** What two programs share is not looked into. */
export function mapChanges(before: Program, after: Program): readonly SetChange[] {
  const changes = new Map<string, { gone: PlainElement[]; come: PlainElement[] }>()
  const note: Note = (what, set, element) => {
    const change = changes.get(set) ?? { gone: [], come: [] }
    changes.set(set, change)
    change[what].push(element)
  }
  for (const change of PersistentMap.changes(before.identities, after.identities))
    noteIdentity(change, note)
  for (const change of PersistentMap.changes(before.subjects, after.subjects))
    noteSubject(change, note)
  return [...changes].map(([set, change]) => ({ set, ...change }))
}

type Note = (what: 'gone' | 'come', set: string, element: PlainElement) => void
/** By an address's text. */
type Change<Value> = {
  readonly key: string
  readonly before: Value | undefined
  readonly after: Value | undefined
}

const keyOf = (address: string): { readonly key: Uint8Array; readonly family: 4 | 6 } => {
  const key = bytesOfAddress(address)
  return { key, family: key.length === 4 ? 4 : 6 }
}

function noteIdentity({ key: address, before, after }: Change<Identity>, note: Note): void {
  const { key, family } = keyOf(address)
  const identity = `identity${family}`
  if (before !== undefined) note('gone', identity, { key, value: identityBytes(before) })
  if (after !== undefined) note('come', identity, { key, value: identityBytes(after) })
  if (before === undefined) note('come', `known${family}`, { key })
  if (after === undefined) note('gone', `known${family}`, { key })
}

function noteSubject({ key: address, before, after }: Change<Subject>, note: Note): void {
  const { key, family } = keyOf(address)
  for (const side of ['egress', 'ingress'] as const) {
    const [was, is] = [before, after].map((subject) => subject && verdictOf(subject, side))
    if (sameVerdict(was, is)) continue
    if (was) note('gone', `${side}${family}`, { key, verdict: was })
    if (is) note('come', `${side}${family}`, { key, verdict: is })
  }
  const both = { key: concatenate([key, key]) }
  if (before === undefined) note('come', `itself${family}`, both)
  if (after === undefined) note('gone', `itself${family}`, both)
}

const sameVerdict = (one: Verdict | undefined, other: Verdict | undefined): boolean =>
  typeof one === 'object' && typeof other === 'object'
    ? 'goto' in one && 'goto' in other && one.goto === other.goto
    : one === other
