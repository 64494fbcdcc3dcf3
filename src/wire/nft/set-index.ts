import type { ListedElement, ListedSet } from './listed-table.ts'

/** A set made ready for look-ups, as its kernel backend does them. */
export type SetIndex = {
  /** The element that holds the key: `at` is where it begins among the registers' bytes. */
  readonly find: (registers: Uint8Array, at: number) => ListedElement | undefined
}

/**
 * Sets with ranges of one part are ordered (nft_set_rbtree), those of several parts are compared
 * part by part (nft_set_pipapo), all others are hashed.
 */
export function indexOf(set: ListedSet): SetIndex {
  const rest = set.elements.find(({ key }) => key === undefined)
  const find = !set.flags.isInterval
    ? hashed(set)
    : set.fields.length > 1
      ? parted(set)
      : ordered(set)
  return { find: (registers, at) => find(registers, at) ?? rest }
}

type Find = SetIndex['find']

/** Bytes as a text that a Map can have for a key. */
function bytesKey(bytes: Uint8Array, at: number, length: number): string {
  let key = ''
  for (let index = at; index < at + length; index++) key += String.fromCharCode(bytes[index] ?? 0)
  return key
}

function hashed({ elements, keyBytes }: ListedSet): Find {
  const byKey = new Map<string, ListedElement>()
  for (const element of elements)
    if (element.key) byKey.set(bytesKey(element.key, 0, keyBytes), element)
  return (registers, at) => byKey.get(bytesKey(registers, at, keyBytes))
}

/** From a first key to the one before the end; without an end, to the last key there is. */
export type Interval = {
  readonly element: ListedElement
  readonly first: Uint8Array
  /** Not in it. */
  readonly until?: Uint8Array
}

/** The ranges that the kernel lists as beginnings and ends; disjoint, in order. */
export function intervalsOf({ elements }: Pick<ListedSet, 'elements'>): readonly Interval[] {
  const marks = elements.filter(({ key }) => key !== undefined).toSorted(compareMarks)
  return marks.flatMap((element, index) => {
    const next = marks[index + 1]?.key
    if (element.isEnd || !element.key) return []
    return [{ element, first: element.key, ...(next ? { until: next } : {}) }]
  })
}

/** One range may end where the next begins. */
function compareMarks(left: ListedElement, right: ListedElement): number {
  const byKey = compareBytes(left.key ?? empty, right.key ?? empty)
  return byKey !== 0 ? byKey : Number(right.isEnd ?? false) - Number(left.isEnd ?? false)
}
const empty = new Uint8Array()

export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

function ordered(set: ListedSet): Find {
  const intervals = intervalsOf(set)
  return (registers, at) => {
    const key = registers.subarray(at, at + set.keyBytes)
    let [low, high] = [0, intervals.length] // the last interval that begins at or before the key
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes(intervals[middle]?.first ?? empty, key) <= 0) low = middle + 1
      else high = middle
    }
    const found = intervals[low - 1]
    if (!found || (found.until && compareBytes(key, found.until) >= 0)) return undefined
    return found.element
  }
}

/** Where the parts of a concatenated key lie: each begins at a register. */
export function partsOf(fields: readonly number[]): readonly { at: number; length: number }[] {
  let next = 0
  return fields.map((length) => {
    const at = next
    next += (length + 3) & ~3
    return { at, length }
  })
}

function parted({ elements, fields }: ListedSet): Find {
  const parts = partsOf(fields)
  const isIn = ({ key, keyEnd = key }: ListedElement, registers: Uint8Array, from: number) =>
    key !== undefined &&
    keyEnd !== undefined &&
    parts.every(({ at, length }) => {
      const value = registers.subarray(from + at, from + at + length)
      return (
        compareBytes(value, key.subarray(at, at + length)) >= 0 &&
        compareBytes(value, keyEnd.subarray(at, at + length)) <= 0
      )
    })
  return (registers, at) => elements.find((element) => isIn(element, registers, at))
}
