import { addressBytes, addressFromBytes, type Family, offsetAddress } from '../base/address.ts'
import { sameBytes } from '../base/bytes.ts'
import { mergePrefixes } from '../base/merge-prefixes.ts'
import { boundsOf, type Prefix } from '../base/prefix.ts'
import { lookup, payload, register, verdict } from '../wire/nft/expression.ts'
import type { Element, KeyType, ObservedElement } from '../wire/nft/set.ts'
import type { Rule, TableName } from '../wire/nft/table.ts'
import { addressField, isFamily } from './packet-match.ts'

// What is inside the cluster: pods' packets to there keep the pods' addresses.

const families = [4, 6] as const satisfies readonly Family[]
const setOf = (family: Family): string => `cluster${family}`

/** Ranges of addresses. */
export const clusterSets = [
  { set: setOf(4), key: ['ipv4_addr'], verdicts: false, interval: true },
  { set: setOf(6), key: ['ipv6_addr'], verdicts: false, interval: true },
] as const satisfies readonly {
  readonly set: string
  readonly key: readonly KeyType[]
  readonly verdicts: boolean
  readonly interval: true
}[]

/** Asked before anybody is masqueraded. */
export const clusterRules = (): readonly Rule[] =>
  families.map((family) => ({
    comment: `IPv${family} within the cluster: as it is`,
    expressions: [
      ...isFamily(family),
      payload(addressField(family, 'destination'), register(0)),
      lookup(setOf(family), register(0)),
      verdict('return'),
    ],
  }))

/** The comment of every element. */
export const clusterComment = 'cluster'

/** One element a range: prefixes that touch are one, as the kernel's ranges must not. */
export function clusterElements(table: TableName, prefixes: readonly Prefix[]): readonly Element[] {
  const elements: Element[] = []
  for (const prefix of mergePrefixes(prefixes)) {
    const { first, last } = boundsOf(prefix)
    const set = setOf(first.family)
    const key = addressBytes(first)
    // behind the last address there is no key: the range is open
    const isOpen = addressBytes(last).every((byte) => byte === 0xff)
    const end = isOpen ? {} : { until: addressBytes(offsetAddress(last, 1n)) }
    const before = elements.at(-1)
    if (before?.set === set && before.until && sameBytes(before.until, key)) {
      const { until: _, ...rest } = before
      elements.splice(-1, 1, { ...rest, ...end })
    } else elements.push({ ...table, set, key, ...end, comment: clusterComment, isShared: true })
  }
  return elements
}

/** Ranges that a set has, of its elements in any order. */
export function observedRanges(
  table: TableName,
  observed: readonly ObservedElement[],
): readonly Element[] {
  const inOrder = [...observed].sort(byKey)
  return inOrder.flatMap(({ set, key, isEnd }, at) => {
    if (isEnd) return []
    const next = inOrder[at + 1]
    return [{ ...table, set, key, ...(next?.isEnd ? { until: next.key } : {}) }]
  })
}

/** The end of a range comes before another range that begins there. */
function byKey(left: ObservedElement, right: ObservedElement): number {
  const [one, other] = [left, right].map(({ key }) => addressFromBytes(key)?.value ?? 0n)
  if (one !== other) return (one ?? 0n) < (other ?? 0n) ? -1 : 1
  return Number(right.isEnd ?? false) - Number(left.isEnd ?? false)
}

export const sameRange = (left: Element, right: Element): boolean =>
  left.set === right.set &&
  sameBytes(left.key, right.key) &&
  (left.until === undefined || right.until === undefined
    ? left.until === right.until
    : sameBytes(left.until, right.until))
