import type { Address, Family } from '../base/address.ts'
import { mergePrefixes } from '../base/merge-prefixes.ts'
import { boundsOf, overlaps, type Prefix } from '../base/prefix.ts'
import type { BlockSpans, Spans } from './program.ts'
import { nothing, spansKey, union } from './spans.ts'

/** What a rule allows an address range, but for parts of it. */
export type Block = {
  readonly cidr: Prefix
  readonly except: readonly Prefix[]
  readonly spans: Spans
}

/**
 * Overlapping blocks as disjoint ranges with all that any block allows there; neighbours that allow
 * the same are one range. An exception counts for its own block alone (P25).
 *
 * 10.0.0.0/8 TCP 80 and 10.1.0.0/16 UDP 53 are three ranges: before 10.1, 10.1 with both, after.
 */
export const sweep = (blocks: readonly Block[]): readonly BlockSpans[] => [
  ...sweepFamily(blocks, 4),
  ...sweepFamily(blocks, 6),
]

type Edge = {
  readonly at: bigint
  readonly key: string
  readonly spans: Spans
  readonly by: 1 | -1
}

function sweepFamily(blocks: readonly Block[], family: Family): readonly BlockSpans[] {
  const edges = blocks
    .filter(({ cidr, spans }) => cidr.address.family === family && spans.length > 0)
    .flatMap(edgesOf)
    .sort((left, right) => (left.at < right.at ? -1 : left.at > right.at ? 1 : 0))
  const open = new OpenBlocks()
  const ranges: { family: Family; first: bigint; last: bigint; spans: Spans }[] = []
  for (const [index, edge] of edges.entries()) {
    open.change(edge)
    const next = edges[index + 1]?.at
    if (next === undefined || next === edge.at) continue
    const spans = open.union()
    if (spans.length === 0) continue
    const before = ranges.at(-1)
    if (before?.last === edge.at - 1n && spansKey(before.spans) === spansKey(spans))
      before.last = next - 1n
    else ranges.push({ family, first: edge.at, last: next - 1n, spans })
  }
  return ranges
}

/** The blocks that the sweep is inside of, by what they allow. */
class OpenBlocks {
  readonly #open = new Map<string, { count: number; readonly spans: Spans }>()
  readonly #unions = new Map<string, Spans>()

  change({ key, spans, by }: Edge): void {
    const known = this.#open.get(key) ?? { count: 0, spans }
    known.count += by
    if (known.count === 0) this.#open.delete(key)
    else this.#open.set(key, known)
  }

  union(): Spans {
    const key = [...this.#open.keys()].sort().join(';')
    const known = this.#unions.get(key)
    if (known) return known
    const made = [...this.#open.values()].reduce((sum, { spans }) => union(sum, spans), nothing)
    this.#unions.set(key, made)
    return made
  }
}

/** Where the block begins and ends, and so do the holes in it. */
function edgesOf({ cidr, except, spans }: Block): readonly Edge[] {
  const key = spansKey(spans)
  const holes = mergePrefixes(except.filter((hole) => overlaps(cidr, hole)))
  if (holes.some(({ bits }) => bits <= cidr.bits)) return []
  return [cidr, ...holes].flatMap((prefix, index): readonly Edge[] => {
    const { first, last } = boundsOf(prefix)
    const by = index === 0 ? 1 : -1
    return [
      { at: first.value, key, spans, by },
      { at: last.value + 1n, key, spans, by: by === 1 ? -1 : 1 },
    ]
  })
}

/** What the range that has the address allows; ranges are in order. */
export function spansAt(ranges: readonly BlockSpans[], { family, value }: Address): Spans {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >> 1
    const range = ranges[middle]
    if (!range) break
    if (range.family < family || (range.family === family && range.last < value)) low = middle + 1
    else high = middle
  }
  const range = ranges[low]
  const isIn = range !== undefined && range.family === family && range.first <= value
  return isIn ? range.spans : nothing
}
