import type { Query } from '../wire/netlink/message.ts'
import { newCounter } from '../wire/nft/notice.ts'
import { type Element, type KeyType, newSet } from '../wire/nft/set.ts'
import {
  type BaseChain,
  type ChainName,
  deleteChain,
  flushChain,
  newChain,
  newRule,
  newTable,
  type Rule,
  type TableName,
} from '../wire/nft/table.ts'
import { type Attachment, nameOf } from './attachment.ts'
import { closingElements } from './closed.ts'
import { clusterRules, clusterSets } from './cluster.ts'
import type { Extras } from './extras.ts'
import { circleRules, fenceChain, fenceRules, fenceSets, forwardRules } from './fence.ts'
import {
  guardElements,
  ingressRules,
  isJudged,
  judgedAddressRules,
  judgedChain,
  ownAddressRules,
  ownMacRules,
  ownNeighbourRules,
} from './guard-rules.ts'
import {
  hostPortChain,
  hostPortPriority,
  hostPortRules,
  hostPortSetShapes,
  loopbackRules,
  throughHostPortRules,
  toHostRules,
  translatedChain,
  translatedRules,
} from './host-port-rules.ts'
import { circleOf, circlePrefix } from './isolation.ts'
import {
  masqueradeChainOf,
  masqueradeElements,
  masqueradePrefix,
  masqueradeRules,
} from './masquerade.ts'
import {
  policedSets,
  policyChains,
  policyCounters,
  policySets,
  policyTable,
} from './policy-table.ts'

// Three tables. `inet tulle` masquerades, and guards routed pods; `bridge tulle` guards pods on a
// bridge, whose frames to one another no inet hook sees; `inet tulle-policy` is described in
// policy-table.ts. Rules are the same for any number of pods: what differs is in sets and maps.

export const inetTable: TableName = { family: 'inet', table: 'tulle' }
export const bridgeTable: TableName = { family: 'bridge', table: 'tulle' }
export const tables = [inetTable, bridgeTable, policyTable] as const

/** Whether something, such as an element, is in this table. */
export const isIn =
  ({ family, table }: TableName) =>
  (one: TableName): boolean =>
    one.family === family && one.table === table

/** Tables that these elements are in. */
export const tablesOf = (elements: readonly Element[]): readonly TableName[] =>
  tables.filter((table) => elements.some(isIn(table)))

const isPolicy = isIn(policyTable)

type SetShape = {
  readonly set: string
  readonly key: readonly KeyType[]
  readonly verdicts: boolean
  readonly value?: readonly KeyType[]
  readonly interval?: true
}

/**
 * guarded: host end → the check that its pod's packets pass. source4/6, mac: what that pod may send
 * from.
 */
const guardSets: readonly SetShape[] = [
  { set: 'guarded', key: ['ifname'], verdicts: true },
  { set: 'mac', key: ['ifname', 'ether_addr'], verdicts: false },
  { set: 'source4', key: ['ifname', 'ether_addr', 'ipv4_addr'], verdicts: false },
  { set: 'source6', key: ['ifname', 'ether_addr', 'ipv6_addr'], verdicts: false },
]
/** Pod address → the chain that knows which destinations are left alone. */
const masqueradeSets: readonly SetShape[] = [
  { set: 'masquerade4', key: ['ipv4_addr'], verdicts: true },
  { set: 'masquerade6', key: ['ipv6_addr'], verdicts: true },
]
function setShapes(table: TableName): readonly SetShape[] {
  if (isPolicy(table)) return policySets
  return table.family === 'inet'
    ? [...guardSets, ...masqueradeSets, ...hostPortSetShapes, ...fenceSets, ...clusterSets]
    : guardSets
}
/** Sets that say who uses a table: of the policies', the agent fills the others. */
export const setsOf = (table: TableName): readonly string[] =>
  isPolicy(table) ? policedSets : setShapes(table).map(({ set }) => set)

type Chain = { readonly name: ChainName | BaseChain; readonly rules: readonly Rule[] }

/**
 * Guard before conntrack (priority raw, -300), nat where nat goes (dstnat, -100; srcnat, 100), the
 * fence between networks where packets are forwarded (filter, 0). Chains come before those that
 * jump to them.
 */
function chainsOf(table: TableName): readonly Chain[] {
  if (isPolicy(table)) return policyChains()
  const { family } = table
  const named = (chain: string): ChainName => ({ ...table, chain })
  const guard = {
    ...named('prerouting'),
    type: 'filter',
    hook: 'prerouting',
    priority: -300,
  } as const
  return [
    { name: named('own-address'), rules: ownAddressRules(family) },
    { name: named('own-mac'), rules: ownMacRules() },
    ...(family === 'bridge' ? [{ name: named('own-neighbour'), rules: ownNeighbourRules() }] : []),
    {
      name: guard,
      rules: [...(family === 'inet' ? loopbackRules() : []), ...ingressRules(family)],
    },
    ...(family === 'inet' ? [...natChains(table), ...fenceChains(table)] : []),
  ]
}

function natChains(table: TableName): readonly Chain[] {
  const named = (chain: string): ChainName => ({ ...table, chain })
  const nat = (chain: string, hook: BaseChain['hook'], priority: number): BaseChain => ({
    ...named(chain),
    type: 'nat',
    hook,
    priority,
  })
  return [
    { name: named(hostPortChain), rules: hostPortRules() },
    { name: nat('to-host', 'prerouting', hostPortPriority), rules: toHostRules() },
    { name: nat('to-host-output', 'output', hostPortPriority), rules: toHostRules() },
    { name: named(translatedChain), rules: throughHostPortRules() },
    {
      name: nat('postrouting', 'postrouting', 100),
      rules: [...translatedRules(), ...clusterRules(), ...masqueradeRules()],
    },
  ]
}

function fenceChains(table: TableName): readonly Chain[] {
  const named = (chain: string): ChainName => ({ ...table, chain })
  return [
    { name: named(fenceChain), rules: fenceRules() },
    {
      name: { ...named('forward'), type: 'filter', hook: 'forward', priority: 0 },
      rules: forwardRules(),
    },
  ]
}

const chainQueries = ({ name, rules }: Chain): readonly Query[] => [
  newChain(name),
  ...rules.map((rule) => newRule(name, rule)),
]

const encodeTable = (table: TableName): readonly Query[] => [
  newTable(table),
  ...setShapes(table).map((shape, at) => newSet({ ...table, ...shape, id: at + 1 })),
  ...(isPolicy(table) ? policyCounters.map((counter) => newCounter({ ...table, counter })) : []),
  ...chainsOf(table).flatMap(chainQueries),
]

/**
 * What `encodeTable` gives, from the build: to encode sixty messages takes a process that has just
 * started 2.5 ms. As JSON of each table, which the pod alone reads that makes it. Not there where
 * the sources run as they are.
 */
declare const TULLE_TABLES: Readonly<Record<string, string>> | undefined
const encodedTables = typeof TULLE_TABLES === 'undefined' ? undefined : TULLE_TABLES
/** As `namesIn` gives them. */
declare const TULLE_RULES: Readonly<Record<string, readonly string[]>> | undefined
const namedRules = typeof TULLE_RULES === 'undefined' ? undefined : TULLE_RULES

/** Body in base64. */
type EncodedQuery = readonly [type: number, flags: number, body: string]
const encodedQuery = ({ type, flags, body }: Query): EncodedQuery => [
  type,
  flags,
  Buffer.from(body).toString('base64'),
]

const textOf = ({ family, table }: TableName): string => `${family} ${table}`
const byTable = <T>(of: (table: TableName) => T): Readonly<Record<string, T>> =>
  Object.fromEntries(tables.map((table) => [textOf(table), of(table)]))

/** For the build: what it hands back as TULLE_TABLES and TULLE_RULES. */
export const encodeTables = (): Readonly<Record<string, string>> =>
  byTable((table) => JSON.stringify(encodeTable(table).map(encodedQuery)))
export const nameRules = (): Readonly<Record<string, readonly string[]>> => byTable(namesIn)
const namesIn = (table: TableName): readonly string[] => chainsOf(table).flatMap(ruleNames)
const ruleNames = ({ name, rules }: Chain): readonly string[] =>
  rules.map(({ comment }) => `${name.chain}: ${comment}`)

/** The whole table without any pod in it; refused as a whole (EEXIST) where it stands already. */
export function tableQueries(table: TableName): readonly Query[] {
  if (encodedTables === undefined) return encodeTable(table)
  const all = JSON.parse(encodedTables[textOf(table)] ?? '[]') as readonly EncodedQuery[]
  return all.map(([type, flags, body]) => ({
    type,
    flags,
    body: Buffer.from(body, 'base64'),
  }))
}

/**
 * The attachment's own chain, shared by all with the same exceptions; undefined if nothing is
 * masqueraded.
 */
export function ownChainOf(
  attachment: Attachment,
): { name: ChainName; queries: readonly Query[] } | undefined {
  const chain = masqueradeChainOf(inetTable, attachment)
  return chain && { name: chain.name, queries: chainQueries(chain) }
}

/** What a routed pod may send that policies hold for; undefined for another. */
export function judgedChainOf(
  attachment: Attachment,
): { name: ChainName; queries: readonly Query[]; rules: readonly Rule[] } | undefined {
  if (!isJudged(attachment)) return undefined
  const chain = { name: { ...inetTable, chain: judgedChain }, rules: judgedAddressRules() }
  return { ...chain, queries: chainQueries(chain) }
}

/** The chain that knows the other pods of an isolated network; undefined where there are none. */
export function circleChainOf(
  extras: Extras,
): { name: ChainName; queries: readonly Query[] } | undefined {
  const circle = circleOf(extras)
  if (!circle) return undefined
  const name = { ...inetTable, chain: circle.chain }
  return { name, queries: chainQueries({ name, rules: circleRules(circle.number) }) }
}

/**
 * Every rule that a table must hold for an attachment, as "chain: comment", in order: what CHECK
 * compares.
 */
export function rulesOf(table: TableName, attachment: Attachment): readonly string[] {
  const chains = [masqueradeChainOf(inetTable, attachment), judgedChainOf(attachment)]
  const own = isIn(inetTable)(table) ? chains.flatMap((chain) => chain ?? []) : []
  return [...baseRulesOf(table), ...own.flatMap(ruleNames)]
}

/** Those that a table has whoever uses it. */
export const baseRulesOf = (table: TableName): readonly string[] =>
  namedRules?.[textOf(table)] ?? namesIn(table)

/** A chain that attachments share, and that goes with the last of them. */
export const isSharedChain = (chain: string): boolean =>
  chain.startsWith(masqueradePrefix) || chain.startsWith(circlePrefix) || chain === judgedChain

/** Removes the chain; the kernel refuses (EBUSY) while another attachment's element jumps to it. */
export const dropChain = (name: ChainName): readonly Query[] => [
  flushChain(name),
  deleteChain(name),
]

/** What an attachment has in the sets, each element with the attachment's name as its comment. */
export function elementsOf(attachment: Attachment): readonly Element[] {
  const comment = nameOf(attachment)
  const guardTable = attachment.mode === 'bridge' ? bridgeTable : inetTable
  return [
    ...closingElements(attachment),
    ...(attachment.spoofCheck ? guardElements(guardTable, attachment) : []),
    ...masqueradeElements(inetTable, attachment),
  ].map((element) => ({ ...element, comment }))
}
