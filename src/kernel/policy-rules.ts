import type { Family } from '../base/address.ts'
import { concat } from '../base/bytes.ts'
import { addressField, destinationPort, isFamily, isThisNode } from '../datapath/packet-match.ts'
import { endOf, isInState, isOwnNode, type Side } from '../datapath/policy-table.ts'
import type { Reach } from '../policy/program.ts'
import { tupleSource } from '../wire/nft/connection.ts'
import {
  dataMap,
  differs,
  type Expression,
  isNotIn,
  lookup,
  mask,
  meta,
  move,
  payload,
  register,
  type Verdict,
  verdict,
} from '../wire/nft/expression.ts'
import type { Rule } from '../wire/nft/table.ts'
import { type PolicySet, type Ports, setName, wholeForms } from './policy-sets.ts'

const families = [4, 6] as const
const wordsOf = (family: Family): number => (family === 4 ? 1 : 4)

/** Where a rule reads who the other end is, and what it is asked for. */
type View = {
  readonly of: string
  /** First of all of its rules. */
  readonly guard: readonly Expression[]
  /** The other end's address from this word on; the rule ends for the other family. */
  readonly peer: (family: Family, word: number) => readonly Expression[]
  readonly port: (word: number) => Expression
  /** Each one a rule of its own. */
  readonly ownNode: readonly (readonly Expression[])[]
}

/** The other end of a connection is who began it, or who answers; ports are of who answers. */
const connectionView = (side: Side): View => ({
  of: '',
  guard: [],
  peer: (family, word) => [
    endOf(family, side === 'ingress' ? 'original' : 'reply', register(word)),
  ],
  port: (word) => tupleSource('reply', 'port', register(word)),
  ownNode: isOwnNode(side),
})

/** Packets that conntrack leaves alone, such as those of a node's own DNS cache, have no tuples. */
const packetView = (side: Side): View => ({
  of: ', by the packet',
  guard: isInState('invalid', 'untracked'),
  peer: (family, word) => [
    ...isFamily(family),
    payload(addressField(family, side === 'ingress' ? 'source' : 'destination'), register(word)),
  ],
  port: (word) => payload(destinationPort, register(word)),
  ownNode: [isThisNode(side === 'ingress' ? 'source' : 'destination')],
})

/** What every chain asks in the same words, but for the set that it looks into at the end. */
type Match = {
  readonly of: string
  readonly form: string
  readonly ports: Ports
  readonly before: Expression
  /** Where the set's key is; none where no set is asked. */
  readonly from?: number
}

/** Expressions one behind the other are one list: encoded once, as there are thousands of rules. */
const matchesOf = (view: View): readonly Match[] => {
  const match = (
    form: string,
    ports: Ports,
    expressions: readonly Expression[],
    from?: number,
  ): Match => ({
    of: `${form}${view.of}`,
    form,
    ports,
    before: concat([...view.guard, ...expressions]),
    ...(from === undefined ? {} : { from }),
  })
  const bySpans = (form: string, before: readonly Expression[]): readonly Match[] => [
    match(form, 'whole', before),
    ...(['exact', 'ranges'] as const).map((ports) =>
      match(form, ports, [...before, ...service(view, 0)], register(0)),
    ),
  ]
  return [
    ...bySpans('anybody', []),
    ...view.ownNode.flatMap((is) => bySpans('own-node', is)),
    ...families.flatMap((family) => [
      ...bySpans('pods', isPod(view, family)),
      ...(['whole', 'exact', 'ranges'] as const).map((ports) =>
        match('identities', ports, identityOf(view, family, ports), register(5)),
      ),
      match(`blocks${family}`, 'ranges', addressOf(view, family, 'blocks'), register(0)),
      match(`world${family}`, 'ranges', addressOf(view, family, 'world'), register(0)),
    ]),
  ]
}

const prepared = new Map<Side, readonly Match[]>()
function matchesAt(side: Side): readonly Match[] {
  const matches = prepared.get(side) ?? [connectionView(side), packetView(side)].flatMap(matchesOf)
  prepared.set(side, matches)
  return matches
}

/**
 * What a reach means, as rules that end in the same verdict; at most one for each way to be meant
 * and to ask for ports, whatever the number of peers.
 * @param chain the name that its sets have before theirs.
 */
export function reachRules(
  { chain, side, reach }: { chain: string; side: Side; reach: Reach },
  sets: readonly PolicySet[],
  what: Verdict,
): readonly Rule[] {
  const names = new Set(sets.map(({ set }) => set))
  const whole = new Set(wholeForms(reach))
  const end = verdict(what)
  return matchesAt(side).flatMap(({ of, form, ports, before, from }) => {
    const set = setName(chain, form, ports)
    if (from === undefined ? !whole.has(form) : !names.has(set)) return []
    return { comment: of, expressions: [before, ...(from ? [lookup(set, from)] : []), end] }
  })
}

/** Protocol and port into two words. */
const service = (view: View, word: number): readonly Expression[] => [
  meta('l4proto', register(word)),
  view.port(word + 1),
]

/** Pods are the identities from 256 on; marks are in host order. */
const isPod = (view: View, family: Family): readonly Expression[] => [
  ...view.peer(family, 0),
  dataMap(`identity${family}`, register(0), register(0)),
  mask(register(0), Uint8Array.of(0, 255, 255, 255)),
  differs(register(0), new Uint8Array(4)),
]

/**
 * The identity from word 5 on, where the set's key begins. It comes there by a move of two words, 0
 * and 1 to 4 and 5: nft up to 1.0.6 dies of a rule that looks up what a map gave, and so takes word
 * 5 for what was loaded there before, the address: it prints `ct original ip saddr @in-…`.
 */
const identityOf = (view: View, family: Family, ports: Ports): readonly Expression[] => [
  ...view.peer(family, 0),
  ...view.peer(family, 5).slice(-1),
  dataMap(`identity${family}`, register(0), register(1)),
  move(register(0), register(4), 8),
  ...(ports === 'whole' ? [] : service(view, 6)),
]

/** Ranges of addresses are sought together with protocol and port. */
const addressOf = (view: View, family: Family, form: 'blocks' | 'world'): readonly Expression[] => [
  ...view.peer(family, 0),
  ...(form === 'world' ? [isNotIn(`known${family}`, register(0))] : []),
  ...service(view, wordsOf(family)),
]
