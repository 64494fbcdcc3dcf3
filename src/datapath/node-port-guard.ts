import { addressBytes, type Family } from '../base/address.ts'
import { mergePrefixes } from '../base/merge-prefixes.ts'
import { boundsOf, formatPrefix, type Prefix } from '../base/prefix.ts'
import type { Query } from '../wire/netlink/message.ts'
import { connection, directions } from '../wire/nft/connection.ts'
import { newElements, type PlainElement } from '../wire/nft/element-list.ts'
import {
  type Expression,
  equals,
  lookup,
  meta,
  payload,
  register,
  verdict,
} from '../wire/nft/expression.ts'
import { newCounter } from '../wire/nft/notice.ts'
import { concatenate, type NewSet, newSet } from '../wire/nft/set.ts'
import {
  type BaseChain,
  deleteTable,
  ensureTable,
  newChain,
  newRule,
  newTable,
  type Rule,
  type TableName,
} from '../wire/nft/table.ts'
import { addressField, destinationPort, isFamily, isThisNode } from './packet-match.ts'
import { dropping } from './policy-table.ts'

// What policies can't see: a NodePort is translated before any of their hooks, and the node's own
// programs are no pods. So this is a table of its own, asked before DNAT; it stands and falls with
// the configuration, where inet tulle-policy goes with the last pod.

/** Ports of the node that only these clients reach; none: nobody but the node itself. */
export type GuardedPorts = {
  /** Both included. */
  readonly first: number
  readonly last: number
  /** An IP protocol's number. */
  readonly protocol: number
  readonly from: readonly Prefix[]
}

export const nodePortTable: TableName = { family: 'inet', table: 'tulle-node-ports' }
export const nodePortCounter = 'refused'

/** Before dstnat (−100), where kube-proxy translates; behind conntrack (−200). */
const priority = -110

const families = [4, 6] as const satisfies readonly Family[]

/**
 * Every port once: where wishes overlap, the clients of all of them. Disjoint and in order, as the
 * kernel refuses elements that overlap.
 */
export function guardSpans(guarded: readonly GuardedPorts[]): readonly GuardedPorts[] {
  const spans: GuardedPorts[] = []
  for (const [protocol, wishes] of Map.groupBy(guarded, (one) => one.protocol)) {
    const cuts = new Set(wishes.flatMap(({ first, last }) => [first, last + 1]))
    const starts = [...cuts].sort((left, right) => left - right)
    for (const [at, first] of starts.slice(0, -1).entries()) {
      const meant = wishes.filter((wish) => wish.first <= first && first <= wish.last)
      if (meant.length === 0) continue
      const from = mergePrefixes(meant.flatMap((wish) => wish.from))
      append(spans, { protocol, first, last: (starts[at + 1] ?? 0) - 1, from })
    }
  }
  return spans
}

/** Neighbours with the same clients are one. */
function append(spans: GuardedPorts[], next: GuardedPorts): void {
  const before = spans.at(-1)
  const isOne =
    before?.protocol === next.protocol &&
    before.last + 1 === next.first &&
    textOf(before.from) === textOf(next.from)
  if (isOne) spans.splice(-1, 1, { ...next, first: before.first })
  else spans.push(next)
}

const textOf = (prefixes: readonly Prefix[]): string => prefixes.map(formatPrefix).join(' ')

const clients = (family: Family): string => `clients${family}`

const sets: readonly Omit<NewSet, 'id' | 'family' | 'table'>[] = [
  { set: 'guarded', key: ['inet_proto', 'inet_service'], verdicts: false, interval: true },
  ...families.map((family) => ({
    set: clients(family),
    key: [family === 4 ? 'ipv4_addr' : 'ipv6_addr', 'inet_proto', 'inet_service'] as const,
    verdicts: false,
    interval: true as const,
  })),
]

/** The table as it is to be, in the place of the one that is there. */
export function nodePortQueries(guarded: readonly GuardedPorts[]): readonly Query[] {
  const spans = guardSpans(guarded)
  const chain: BaseChain = {
    ...nodePortTable,
    chain: 'prerouting',
    type: 'filter',
    hook: 'prerouting',
    priority,
  }
  return [
    ensureTable(nodePortTable),
    deleteTable(nodePortTable),
    newTable(nodePortTable),
    ...sets.map((shape, at) => newSet({ ...nodePortTable, ...shape, id: at + 1 })),
    newCounter({ ...nodePortTable, counter: nodePortCounter }),
    ...newElements({ ...nodePortTable, set: 'guarded' }, spans.map(guardedElement)),
    ...families.flatMap((family) =>
      newElements(
        { ...nodePortTable, set: clients(family) },
        spans.flatMap((span) => clientElements(span, family)),
      ),
    ),
    newChain(chain),
    ...nodePortRules().map((rule) => newRule(chain, rule)),
  ]
}

export const noNodePortQueries = (): readonly Query[] => [
  ensureTable(nodePortTable),
  deleteTable(nodePortTable),
]

const guardedElement = ({ protocol, first, last }: GuardedPorts): PlainElement => ({
  key: concatenate([Uint8Array.of(protocol), portBytes(first)]),
  end: concatenate([Uint8Array.of(protocol), portBytes(last)]),
})

const clientElements = (
  { protocol, first, last, from }: GuardedPorts,
  family: Family,
): readonly PlainElement[] =>
  from
    .filter(({ address }) => address.family === family)
    .map(boundsOf)
    .map((bounds) => ({
      key: concatenate([addressBytes(bounds.first), Uint8Array.of(protocol), portBytes(first)]),
      end: concatenate([addressBytes(bounds.last), Uint8Array.of(protocol), portBytes(last)]),
    }))

const portBytes = (port: number): Uint8Array => Uint8Array.of(port >>> 8, port)

/** What every packet that comes in is asked; replies of connections that the node began pass. */
export function nodePortRules(): readonly Rule[] {
  return [
    {
      comment: 'an answer to what was begun here',
      expressions: [
        connection('direction', register(0)),
        equals(register(0), Uint8Array.of(directions.reply)),
        verdict('return'),
      ],
    },
    {
      comment: 'from this node',
      expressions: [...isThisNode('source'), verdict('return')],
    },
    ...families.map((family) => ({
      comment: `IPv${family} clients of guarded ports`,
      expressions: [
        ...isFamily(family),
        payload(addressField(family, 'source'), register(0)),
        ...portInto(family === 4 ? 1 : 4),
        lookup(clients(family), register(0)),
        verdict('return'),
      ],
    })),
    ...dropping('nobody else reaches guarded ports', {
      counter: nodePortCounter,
      prefix: 'tulle deny node-port',
      which: [...isThisNode('destination'), ...portInto(0), lookup('guarded', register(0))],
    }),
  ]
}

/** Protocol and destination port, into two registers from this one on. */
const portInto = (word: number): readonly Expression[] => [
  meta('l4proto', register(word)),
  payload(destinationPort, register(word + 1)),
]
