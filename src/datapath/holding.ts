import type { Prefix } from '../base/prefix.ts'
import type { Query } from '../wire/netlink/message.ts'
import { type Element, putElement } from '../wire/nft/set.ts'
import type { ChainName, TableName } from '../wire/nft/table.ts'
import { type Attachment, nameOf } from './attachment.ts'
import { clusterComment, clusterElements } from './cluster.ts'
import { type Extras, elementsOfExtras } from './extras.ts'
import { circleChainOf, elementsOf, inetTable, isIn, ownChainOf } from './ruleset.ts'

/** What one attachment has in our tables: its elements all bear its name as their comment. */
export type Holding = {
  readonly name: string
  readonly elements: readonly Element[]
  /** Chains that the elements jump to; attachments whose chains are equal share them. */
  readonly chains: readonly { readonly name: ChainName; readonly queries: readonly Query[] }[]
}

export const holdingOf = (attachment: Attachment, extras?: Extras): Holding => ({
  name: nameOf(attachment),
  elements: [...elementsOf(attachment), ...(extras ? elementsOfExtras(extras) : [])],
  chains: [ownChainOf(attachment), extras && circleChainOf(extras)].flatMap((it) => it ?? []),
})

export const holdingOfExtras = (extras: Extras): Holding => ({
  name: nameOf(extras),
  elements: elementsOfExtras(extras),
  chains: [circleChainOf(extras)].flatMap((it) => it ?? []),
})

/** What is inside the cluster, for all attachments together. */
export const holdingOfCluster = (prefixes: readonly Prefix[]): Holding => ({
  name: clusterComment,
  elements: clusterElements(inetTable, prefixes),
  chains: [],
})

/** Everything that the tables must hold for these attachments; what is there already stays. */
export function fillQueries(tables: readonly TableName[], all: readonly Holding[]): Query[] {
  const isAsked = (one: TableName): boolean => tables.some((table) => isIn(table)(one))
  const chains = new Map(
    all.flatMap(({ chains }) => chains).map(({ name, queries }) => [name.chain, queries]),
  )
  return [
    ...(isAsked(inetTable) ? [...chains.values()].flat() : []),
    ...all.flatMap(({ elements }) => elements.filter(isAsked).map(putElement)),
  ]
}
