import type { Prefix } from '../base/prefix.ts'
import type { Query } from '../wire/netlink/message.ts'
import { type Element, newElement, putElement } from '../wire/nft/set.ts'
import type { ChainName, TableName } from '../wire/nft/table.ts'
import { type Attachment, nameOf } from './attachment.ts'
import { isClosing } from './closed.ts'
import { clusterComment, clusterElements } from './cluster.ts'
import { type Extras, elementsOfExtras } from './extras.ts'
import {
  circleChainOf,
  elementsOf,
  inetTable,
  isIn,
  judgedChainOf,
  ownChainOf,
  tableQueries,
} from './ruleset.ts'

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
  chains: [
    ownChainOf(attachment),
    judgedChainOf(attachment),
    extras && circleChainOf(extras),
  ].flatMap((it) => it ?? []),
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

/** Tables that elements are in, those of them that the kernel lacks, and what is to go first. */
export type Base = {
  readonly needed: readonly TableName[]
  readonly lost: readonly TableName[]
  readonly stale: readonly Query[]
  /** Chains of its own that the kernel lacks. */
  readonly chains: readonly Query[]
}

/** The tables that are not there, filled, and the holding's own elements in those that are. */
export function makeQueries(
  holding: Holding,
  { needed, lost, stale, chains }: Base,
  all: readonly Holding[],
): readonly Query[] {
  const others = all.filter(({ name }) => name !== holding.name)
  const kept = needed.filter((table) => !lost.includes(table))
  const own = holding.elements.filter((element) => kept.some((table) => isIn(table)(element)))
  return [
    ...stale,
    ...own.filter(isClosing).map(newElement),
    ...lost.flatMap(tableQueries),
    ...(kept.includes(inetTable) ? chains : []),
    ...fillQueries(lost, [holding, ...others]),
    ...own.filter((element) => !isClosing(element)).map(newElement),
  ]
}

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
