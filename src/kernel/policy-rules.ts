import type { Family } from '../base/address.ts'
import { addressField, isFamily } from '../datapath/packet-match.ts'
import { endOf, isInState, isOwnNode, type Side } from '../datapath/policy-table.ts'
import type { Reach, Spans } from '../policy/program.ts'
import { tupleSource } from '../wire/nft/connection.ts'
import {
  dataMap,
  destinationType,
  differs,
  type Expression,
  equals,
  isNotIn,
  lookup,
  mask,
  meta,
  move,
  payload,
  register,
  sourceType,
  type Verdict,
  verdict,
} from '../wire/nft/expression.ts'
import type { Rule } from '../wire/nft/table.ts'
import { blockSet, type PolicySet, type Ports, portsOf, setName } from './policy-sets.ts'

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

const RTN_LOCAL = Uint8Array.of(2, 0, 0, 0)

/** Packets that conntrack leaves alone, such as those of a node's own DNS cache, have no tuples. */
const packetView = (side: Side): View => ({
  of: ', by the packet',
  guard: isInState('invalid', 'untracked'),
  peer: (family, word) => [
    ...isFamily(family),
    payload(addressField(family, side === 'ingress' ? 'source' : 'destination'), register(word)),
  ],
  port: (word) => payload({ base: 'transport', offset: 2, length: 2 }, register(word)),
  ownNode: [
    [
      side === 'ingress' ? sourceType(register(0)) : destinationType(register(0)),
      equals(register(0), RTN_LOCAL),
    ],
  ],
})

/**
 * What a reach means, as rules that end in the same verdict; at most one for each way to be meant
 * and to ask for ports, whatever the number of peers.
 * @param chain the name that its sets have before theirs.
 */
export const reachRules = (
  { chain, side, reach }: { chain: string; side: Side; reach: Reach },
  sets: readonly PolicySet[],
  what: Verdict,
): readonly Rule[] =>
  [connectionView(side), packetView(side)].flatMap((view) =>
    matches(chain, reach, new Set(sets.map(({ set }) => set)), view).map(({ of, expressions }) => ({
      comment: `${of}${view.of}`,
      expressions: [...view.guard, ...expressions, verdict(what)],
    })),
  )

type Match = { readonly of: string; readonly expressions: readonly Expression[] }

function matches(
  chain: string,
  reach: Reach,
  sets: ReadonlySet<string>,
  view: View,
): readonly Match[] {
  const looked = ({ of, expressions }: Match, set: string): readonly Match[] =>
    sets.has(set) ? [{ of, expressions }] : []
  const bySpans = (
    form: 'anybody' | 'pods' | 'own-node',
    spans: Spans,
    before: readonly Expression[],
  ): readonly Match[] => [
    ...(spans.some((span) => portsOf(span) === 'whole') ? [{ of: form, expressions: before }] : []),
    ...(['exact', 'ranges'] as const).flatMap((ports) => {
      const set = setName(chain, form, ports)
      const expressions = [...before, ...service(view, 0), lookup(set, register(0))]
      return looked({ of: `${form}, ports`, expressions }, set)
    }),
  ]
  return [
    ...bySpans('anybody', reach.anybody, []),
    ...view.ownNode.flatMap((is) => bySpans('own-node', reach.ownNode, is)),
    ...families.flatMap((family) => [
      ...bySpans('pods', reach.pods, isPod(view, family)),
      ...(['whole', 'exact', 'ranges'] as const).flatMap((ports) => {
        const set = setName(chain, 'identities', ports)
        const expressions = isOfIdentity(view, family, ports, set)
        return looked({ of: 'who the other end is (its identity)', expressions }, set)
      }),
      ...(['blocks', 'world'] as const).flatMap((form) => {
        const set = blockSet(chain, form, family)
        const expressions = isInBlock(view, family, form, set)
        return looked({ of: form, expressions }, set)
      }),
    ]),
  ]
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
 * The identity is sought in the set from word 5 on. It comes there by a move of two words, 0 and 1
 * to 4 and 5: nft up to 1.0.6 dies of a rule that looks up what a map gave, and takes word 5 for
 * what was loaded there before, the address. So it prints `ct original ip saddr @in-…`.
 */
const isOfIdentity = (
  view: View,
  family: Family,
  ports: Ports,
  set: string,
): readonly Expression[] => [
  ...view.peer(family, 0),
  ...view.peer(family, 5).slice(-1),
  dataMap(`identity${family}`, register(0), register(1)),
  move(register(0), register(4), 8),
  ...(ports === 'whole' ? [] : service(view, 6)),
  lookup(set, register(5)),
]

const isInBlock = (
  view: View,
  family: Family,
  form: 'blocks' | 'world',
  set: string,
): readonly Expression[] => [
  ...view.peer(family, 0),
  ...(form === 'world' ? [isNotIn(`known${family}`, register(0))] : []),
  ...service(view, wordsOf(family)),
  lookup(set, register(0)),
]
