import type { Prefix } from '../base/prefix.ts'
import { clusterComment, clusterSets, observedRanges, sameRange } from '../datapath/cluster.ts'
import { holdingOfCluster } from '../datapath/holding.ts'
import { inetTable } from '../datapath/ruleset.ts'
import type { Element } from '../wire/nft/set.ts'
import type { FilterSocket, WhenLost } from './filter-socket.ts'
import { errno, KernelRefusal } from './refusal.ts'

/** Somebody else would have to change the set between our look and our batch, each time. */
const attemptsMax = 8

/** What differs from what is to be inside the cluster. */
export function clusterDifference(
  filter: FilterSocket,
  prefixes: readonly Prefix[],
): { readonly gone: readonly Element[]; readonly missing: readonly Element[] } {
  const wanted = holdingOfCluster(prefixes).elements
  const there = clusterSets.flatMap(({ set }) =>
    observedRanges(inetTable, filter.elementsIn({ ...inetTable, set })),
  )
  return {
    gone: there.filter((one) => !wanted.some((other) => sameRange(one, other))),
    missing: wanted.filter((one) => !there.some((other) => sameRange(one, other))),
  }
}

/**
 * Brings the cluster's prefixes to these, in one batch, and makes the table if it is not there.
 * False if all was so already.
 * @param whenLost tells what else a table that has to be made is to hold.
 */
export function setCluster(
  filter: FilterSocket,
  prefixes: readonly Prefix[],
  whenLost: WhenLost,
): boolean {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const { gone, missing } = clusterDifference(filter, prefixes)
    if (gone.length === 0 && missing.length === 0) return false
    if (gone.length === 0) {
      filter.attach({ name: clusterComment, elements: missing, chains: [] }, whenLost)
      return true
    }
    if (filter.swapElements(gone, missing)) return true
  }
  throw new KernelRefusal({
    what: `set what is inside the cluster (${attemptsMax} tries; somebody keeps changing our set)`,
    errno: errno.EAGAIN,
  })
}
