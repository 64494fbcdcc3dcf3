import { parsePrefix } from '../base/prefix.ts'
import { type Holding, holdingOf, holdingOfCluster, holdingOfExtras } from '../datapath/holding.ts'
import type { LeaseStore } from './lease-store.ts'

/** Everything that our tables must hold, for a table that has to be made. */
export function allHoldings(store: LeaseStore): readonly Holding[] {
  const cluster = store.cluster.all().flatMap((text) => parsePrefix(text) ?? [])
  return [
    ...store.attachments().map((attachment) => holdingOf(attachment)),
    ...store.extras.all().map(holdingOfExtras),
    ...(cluster.length > 0 ? [holdingOfCluster(cluster)] : []),
  ]
}
