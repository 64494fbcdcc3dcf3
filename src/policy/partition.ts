import { type Address, addressBits, type Family } from '../base/address.ts'
import { spansAt } from './blocks.ts'
import type { BlockSpans, Profile } from './program.ts'
import { spansKey } from './spans.ts'

/** Both ends included. */
export type SignedRange = { readonly first: Address; readonly last: Address; readonly sign: string }

/** All addresses, cut wherever a range of any profile begins or ends. */
export class Partition {
  readonly #tables: readonly (readonly BlockSpans[])[]
  readonly #cuts: Readonly<Record<Family, readonly bigint[]>>
  readonly #signs = new Map<string, string>()

  constructor(profiles: readonly Profile[]) {
    this.#tables = profiles
      .flatMap(({ denies, allows }) => [allows, ...denies.map(({ reach }) => reach)])
      .flatMap(({ blocks, world }) => [blocks, world])
      .filter((table) => table.length > 0)
    this.#cuts = { 4: cutsOf(this.#tables, 4), 6: cutsOf(this.#tables, 6) }
  }

  /** Equal for addresses of which every range of every profile has both or neither. */
  signOf({ family, value }: Address): string {
    const cuts = this.#cuts[family]
    let [low, high] = [0, cuts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((cuts[middle] ?? 0n) <= value) low = middle + 1
      else high = middle
    }
    return this.#signFrom({ family, value: cuts[low - 1] ?? 0n })
  }

  /** IPv4 before IPv6, ascending. */
  ranges(): readonly SignedRange[] {
    return ([4, 6] as const).flatMap((family) => {
      const end = 1n << BigInt(addressBits(family))
      return this.#cuts[family].map((value, at) => {
        const first = { family, value }
        const last = { family, value: (this.#cuts[family][at + 1] ?? end) - 1n }
        return { first, last, sign: this.#signFrom(first) }
      })
    })
  }

  #signFrom(first: Address): string {
    const key = `${first.family}/${first.value}`
    const known = this.#signs.get(key)
    if (known !== undefined) return known
    const sign = this.#tables
      .flatMap((table, at) => {
        const spans = spansAt(table, first)
        return spans.length === 0 ? [] : [`${at} ${spansKey(spans)}`]
      })
      .join('\n')
    this.#signs.set(key, sign)
    return sign
  }
}

/** The first one is the family's first address. */
function cutsOf(tables: readonly (readonly BlockSpans[])[], family: Family): readonly bigint[] {
  const end = 1n << BigInt(addressBits(family))
  const cuts = new Set([0n])
  for (const table of tables)
    for (const range of table)
      if (range.family === family) {
        cuts.add(range.first)
        if (range.last + 1n < end) cuts.add(range.last + 1n)
      }
  return [...cuts].sort((left, right) => (left < right ? -1 : left > right ? 1 : 0))
}
