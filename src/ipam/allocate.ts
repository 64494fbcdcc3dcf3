import { type Address, formatAddress, offsetAddress, sameAddress } from '../base/address.ts'
import { isGateway, isInRange, poolName, type Range, type RangeSet } from './ranges.ts'

/**
 * What a pool's book says; the store answers from its index, a test from a map. Nothing here
 * changes the book.
 */
export type Book = {
  /**
   * Who holds the address; 'released' if it waits in this pool to be used again; undefined if it is
   * free and new to the pool (ranges change, and an address may have been in another pool before).
   */
  readonly holderOf: (address: Address, pool: string) => string | 'released' | undefined
  /** Where never-used addresses begin; undefined before the first lease. */
  readonly cursorOf: (pool: string) => Address | undefined
  /**
   * The address of the pool that was released longest ago, and when, on the store's own counter.
   */
  readonly oldestReleased: (
    pool: string,
  ) => { readonly address: Address; readonly turn: number } | undefined
}

export type Leased = { readonly address: Address; readonly range: Range; readonly pool: string }
export type Cursor = { readonly pool: string; readonly next: Address }

export type LeaseFault =
  | { readonly kind: 'pool-full'; readonly pools: readonly string[] }
  | { readonly kind: 'address-taken'; readonly address: Address; readonly holder: string }
  | { readonly kind: 'address-is-gateway'; readonly address: Address }
  | {
      readonly kind: 'address-outside'
      readonly address: Address
      readonly pools: readonly string[]
    }

export type Allocation =
  | { readonly leases: readonly Leased[]; readonly cursors: readonly Cursor[] }
  | { readonly fault: LeaseFault }

/**
 * One address from each set. A requested address is taken as it is if a set has it. Otherwise
 * never-used addresses come first, in order; when a pool has none left, the one that was released
 * longest ago: so an address that a client may still have in a cache comes back as late as the pool
 * allows.
 */
export function allocate(
  sets: readonly RangeSet[],
  requested: readonly Address[],
  book: Book,
): Allocation {
  const leases: Leased[] = []
  const cursors: Cursor[] = []
  let wanted = requested
  for (const set of sets) {
    const ask = wanted.find((address) => set.some((range) => isInRange(range, address)))
    const found = ask ? takeRequested(set, ask, book) : takeNext(set, book)
    if ('kind' in found) return { fault: found }
    leases.push(found.lease)
    if (found.cursor) cursors.push(found.cursor)
    if (ask) wanted = wanted.filter((address) => !sameAddress(address, ask))
  }
  const left = wanted[0]
  if (left)
    return { fault: { kind: 'address-outside', address: left, pools: sets.flat().map(poolName) } }
  return { leases, cursors }
}

type Taken = { readonly lease: Leased; readonly cursor?: Cursor }

function takeRequested(set: RangeSet, address: Address, book: Book): Taken | LeaseFault {
  const range = set.find((candidate) => isInRange(candidate, address))
  if (!range) return { kind: 'address-outside', address, pools: set.map(poolName) }
  if (isGateway(range, address)) return { kind: 'address-is-gateway', address }
  const holder = book.holderOf(address, poolName(range))
  if (holder !== undefined && holder !== 'released')
    return { kind: 'address-taken', address, holder }
  return { lease: { address, range, pool: poolName(range) } }
}

function takeNext(set: RangeSet, book: Book): Taken | LeaseFault {
  for (const range of set) {
    const fresh = takeNeverUsed(range, book)
    if (fresh) return fresh
  }
  const released = set
    .flatMap((range) => {
      const oldest = book.oldestReleased(poolName(range))
      return oldest ? [{ ...oldest, range }] : []
    })
    .sort((left, right) => left.turn - right.turn)[0]
  if (released) {
    const { address, range } = released
    return { lease: { address, range, pool: poolName(range) } }
  }
  return takeLeftOver(set, book) ?? { kind: 'pool-full', pools: set.map(poolName) }
}

/** How far a pool is searched that seems full. */
const leftOverSearchMax = 1n << 16n

/**
 * Addresses behind the cursor that are in no book of this pool: held by another pool's name when
 * the cursor passed, and given back since (ranges were changed, and changed back).
 */
function takeLeftOver(set: RangeSet, book: Book): Taken | undefined {
  for (const range of set) {
    const pool = poolName(range)
    const end = range.first.value + leftOverSearchMax
    let candidate = range.first
    for (
      ;
      candidate.value <= range.last.value && candidate.value < end;
      candidate = offsetAddress(candidate, 1n)
    )
      if (!isGateway(range, candidate) && book.holderOf(candidate, pool) === undefined)
        return { lease: { address: candidate, range, pool } }
  }
  return undefined
}

/**
 * Behind the cursor every address is held or released; ahead of it a few may be held, because they
 * were asked for.
 */
function takeNeverUsed(range: Range, book: Book): Taken | undefined {
  const pool = poolName(range)
  let candidate = book.cursorOf(pool) ?? range.first
  while (candidate.value <= range.last.value) {
    const next = offsetAddress(candidate, 1n)
    if (!isGateway(range, candidate) && book.holderOf(candidate, pool) === undefined)
      return { lease: { address: candidate, range, pool }, cursor: { pool, next } }
    candidate = next
  }
  return undefined
}

/** Tried, found, remedy: one line for the pod's event. */
export function explainLeaseFault(fault: LeaseFault): string {
  switch (fault.kind) {
    case 'pool-full':
      return (
        `every address of ${fault.pools.join(', ')} is leased; delete pods, have the runtime ` +
        'collect dead ones (GC), or widen the range'
      )
    case 'address-taken':
      return `${formatAddress(fault.address)} is leased to ${fault.holder}; delete that first`
    case 'address-is-gateway':
      return `${formatAddress(fault.address)} is the gateway's; ask for another address`
    default:
      return (
        `${formatAddress(fault.address)} is in none of ${fault.pools.join(', ')}; ` +
        'ask for an address of the configured ranges'
      )
  }
}
