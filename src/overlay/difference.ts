import { type Address, addressKey, sameAddress } from '../base/address.ts'
import { samePrefix } from '../base/prefix.ts'
import { unreachable } from '../base/unreachable.ts'
import type { FabricEntry } from './fabric.ts'

/** Two entries with one key exclude each other: the kernel holds one of them. */
export function keyOf(entry: FabricEntry): string {
  switch (entry.kind) {
    case 'route':
      return `route ${addressKey(entry.destination.address)}/${entry.destination.bits}`
    case 'neighbour':
      return `neighbour ${entry.link} ${addressKey(entry.address)}`
    case 'fdb':
      return `fdb ${entry.link} ${entry.mac}`
    default:
      return unreachable(entry)
  }
}

/** `replace`: an entry of ours with the same key is there, and differs. */
export type Change = {
  readonly kind: 'add' | 'replace' | 'delete'
  readonly entry: FabricEntry
}

/** In the order in which they are to be done. */
export type Changes = readonly Change[]

/**
 * Make before break: first what routes lead to (forwarding entries, then neighbours), then the
 * routes, each replaced in one step, then routes that are no longer wanted, last what only they led
 * to. At no moment is a pod without the way that it had, or has from now on.
 */
export function changesBetween(
  wanted: ReadonlyMap<string, FabricEntry>,
  observed: ReadonlyMap<string, FabricEntry>,
): Changes {
  const puts: Change[] = []
  for (const [key, entry] of wanted) {
    const there = observed.get(key)
    if (!there) puts.push({ kind: 'add', entry })
    else if (!sameEntry(entry, there)) puts.push({ kind: 'replace', entry })
  }
  const deletes: Change[] = []
  for (const [key, entry] of observed) if (!wanted.has(key)) deletes.push({ kind: 'delete', entry })
  return [
    ...inOrder.flatMap((kind) => puts.filter(({ entry }) => entry.kind === kind)),
    ...inOrder.toReversed().flatMap((kind) => deletes.filter(({ entry }) => entry.kind === kind)),
  ]
}

/** Each leads to what comes before it. */
const inOrder = ['fdb', 'neighbour', 'route'] as const satisfies readonly FabricEntry['kind'][]

export function sameEntry(left: FabricEntry, right: FabricEntry): boolean {
  if (left.link !== right.link) return false
  switch (left.kind) {
    case 'route':
      return (
        right.kind === 'route' &&
        left.onlink === right.onlink &&
        samePrefix(left.destination, right.destination) &&
        sameAddress(left.gateway, right.gateway) &&
        sameOrNone(left.source, right.source)
      )
    case 'neighbour':
      return (
        right.kind === 'neighbour' &&
        left.mac === right.mac &&
        sameAddress(left.address, right.address)
      )
    case 'fdb':
      return (
        right.kind === 'fdb' &&
        left.mac === right.mac &&
        sameAddress(left.destination, right.destination)
      )
    default:
      return unreachable(left)
  }
}

const sameOrNone = (left: Address | undefined, right: Address | undefined): boolean =>
  left === undefined || right === undefined ? left === right : sameAddress(left, right)
