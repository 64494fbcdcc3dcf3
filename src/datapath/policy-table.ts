import { addressBytes } from '../base/address.ts'
import {
  connection,
  connectionStates,
  directions,
  type PacketDirection,
  tupleSource,
} from '../wire/nft/connection.ts'
import {
  differs,
  type Expression,
  equals,
  isAtLeast,
  isAtMost,
  lookup,
  mask,
  meta,
  payload,
  register,
  type Verdict,
  verdict,
  verdictMap,
} from '../wire/nft/expression.ts'
import { count, limit, log } from '../wire/nft/notice.ts'
import type { Element, KeyType } from '../wire/nft/set.ts'
import type { BaseChain, ChainName, Rule, TableName } from '../wire/nft/table.ts'
import { type Attachment, nameOf } from './attachment.ts'
import { addressField, discoveryTypes, isFamily, isThisNode, nameOfTypes } from './packet-match.ts'
import { addressOf } from './wiring.ts'

// `inet tulle-policy`: what pods may send and be sent. ADD makes this skeleton, in which every pod
// on this node is closed, and the agent fills it. Rules judge connections, not packets: who began
// one (`ct original saddr`) and who answers (`ct reply saddr`: the pod behind a Service's address,
// and the client before any masquerade), so that packets of both directions meet the same rules.

export const policyTable: TableName = { family: 'inet', table: 'tulle-policy' }

const families = [4, 6] as const
type Family = (typeof families)[number]
const addressType = (family: Family): KeyType => (family === 4 ? 'ipv4_addr' : 'ipv6_addr')

/**
 * policed: pods of this node; what has no verdict yet is closed. egress, ingress: pod → the chain
 * of its policies. identity: pods and nodes of the cluster; known: the same addresses, to ask who
 * has none. itself: a pod's address twice.
 */
export const policySets = families.flatMap((family) => {
  const address = addressType(family)
  return [
    { set: `policed${family}`, key: [address], verdicts: false },
    { set: `egress${family}`, key: [address], verdicts: true },
    { set: `ingress${family}`, key: [address], verdicts: true },
    { set: `identity${family}`, key: [address], verdicts: false, value: ['mark'] as const },
    { set: `known${family}`, key: [address], verdicts: false },
    { set: `itself${family}`, key: [address, address], verdicts: false },
  ]
})

/** Those that attachments have elements in. */
export const policedSets = families.map((family) => `policed${family}`)

/** Closes the attachment's addresses: before there is a way to the pod, nothing goes it. */
export const policedElements = (attachment: Attachment): readonly Element[] =>
  attachment.ips.map(({ address: text }) => {
    const address = addressOf(text)
    const set = `policed${address.family}`
    return { ...policyTable, set, key: addressBytes(address), comment: nameOf(attachment) }
  })

export type Side = 'egress' | 'ingress'
const sides = ['egress', 'ingress'] as const

/** Whom a side's policies are about is who began the connection, or who answers. */
const ownEnd: Readonly<Record<Side, PacketDirection>> = { egress: 'original', ingress: 'reply' }

/** The address of a connection's end, into registers from this one on. */
export const endOf = (family: Family, end: PacketDirection, into: number): Expression =>
  tupleSource(end, family === 4 ? 'address4' : 'address6', into)

const isEndIn = (family: Family, end: PacketDirection, set: string): readonly Expression[] => [
  endOf(family, end, register(0)),
  lookup(`${set}${family}`, register(0)),
]

const stateBits = (bits: number): Uint8Array => Uint8Array.of(bits, 0, 0, 0)

/** The packet's connection is in one of these states. */
export const isInState = (
  ...states: readonly (keyof typeof connectionStates)[]
): readonly Expression[] => [
  connection('state', register(0)),
  mask(register(0), stateBits(states.reduce((sum, one) => sum | connectionStates[one], 0))),
  differs(register(0), stateBits(0)),
]

const isProtocolNumber = (number: number): readonly Expression[] => [
  meta('l4proto', register(0)),
  equals(register(0), Uint8Array.of(number)),
]
const IPPROTO_ICMP = 1
const IPPROTO_ICMPV6 = 58

const isDirection = (direction: PacketDirection): readonly Expression[] => [
  connection('direction', register(0)),
  equals(register(0), Uint8Array.of(directions[direction])),
]

/**
 * The other end is this node, whatever address of it: read from the packet, as only one way of it
 * has a route to tell. Two rules, one for each way that a packet goes.
 */
export const isOwnNode = (side: Side): readonly (readonly Expression[])[] => {
  const ends = ['source', 'destination'] as const
  const [there, back] = side === 'ingress' ? ends : ends.toReversed()
  return [
    [...isDirection('original'), ...isThisNode(there)],
    [...isDirection('reply'), ...isThisNode(back)],
  ]
}

/** Who listens to this group of NFLOG hears of what is refused. */
export const logGroup = 7475
const logsPerSecond = 10
const logsAtOnce = 20
/** Headers: what a person wants to know of a packet that did not pass. */
const loggedBytes = 128

export const logging = (prefix: string, which: readonly Expression[] = []): Rule => ({
  comment: 'told to NFLOG',
  expressions: [
    ...which,
    limit(logsPerSecond, logsAtOnce),
    log(`${prefix} `, { group: logGroup, packetBytes: loggedBytes }),
  ],
})

/** Counted and dropped; what NFLOG is told of is no more than a person can read. */
export const dropping = (
  comment: string,
  given: Readonly<{ counter: string; prefix: string; which?: readonly Expression[] }>,
): readonly Rule[] => {
  const { counter, prefix, which = [] } = given
  return [
    logging(prefix, which),
    { comment, expressions: [...which, count(counter), verdict('drop')] },
  ]
}

export const currentChain = 'current'
export const admitChain = 'admit'
const closedChain = (side: Side): string => `closed-${side}`
const statelessChain = 'stateless'
const statelessSide = (side: Side): string => `stateless-${side}`

/** Counters that the skeleton has. */
export const policyCounters: readonly string[] = sides.map(closedChain)

const rule = (comment: string, expressions: readonly Expression[], what: Verdict): Rule => ({
  comment,
  expressions: [...expressions, verdict(what)],
})

const closedRules = (side: Side): readonly Rule[] => [
  ...(side === 'ingress'
    ? isOwnNode('ingress').map((is) => rule('its own node', is, 'return'))
    : []),
  ...dropping('closed until its policies are known', {
    counter: closedChain(side),
    prefix: `tulle closed ${side}`,
  }),
]

/** What rules are called that look for a pod which is closed still; they keep its set there. */
export const noVerdict = (family: Family): string => `an IPv${family} pod without a verdict`

const sideRules = (side: Side): readonly Rule[] => [
  ...families.map((family) => ({
    comment: `what IPv${family} pods' policies say`,
    expressions: [
      endOf(family, ownEnd[side], register(0)),
      verdictMap(`${side}${family}`, register(0)),
    ],
  })),
  ...families.map((family) =>
    rule(noVerdict(family), isEndIn(family, ownEnd[side], 'policed'), {
      goto: closedChain(side),
    }),
  ),
]

const statelessRules = (): readonly Rule[] => [
  // Conntrack leaves them be.
  ...discoveryTypes.map(([first, last]) =>
    rule(
      nameOfTypes([first, last]),
      [
        ...isFamily(6),
        ...isProtocolNumber(IPPROTO_ICMPV6),
        payload({ base: 'transport', offset: 0, length: 1 }, register(0)),
        ...(first === last
          ? [equals(register(0), Uint8Array.of(first))]
          : [
              isAtLeast(register(0), Uint8Array.of(first)),
              isAtMost(register(0), Uint8Array.of(last)),
            ]),
      ],
      'return',
    ),
  ),
  rule('from this node', isThisNode('source'), 'return'),
  ...sides.map((side) => rule(`${side}, by the packet`, [], { jump: statelessSide(side) })),
]

const statelessSideRules = (side: Side): readonly Rule[] => {
  const end = side === 'egress' ? 'source' : 'destination'
  const load = (family: Family): readonly Expression[] => [
    ...isFamily(family),
    payload(addressField(family, end), register(0)),
  ]
  return [
    ...families.map((family) => ({
      comment: `what IPv${family} pods' policies say`,
      expressions: [...load(family), verdictMap(`${side}${family}`, register(0))],
    })),
    ...families.map((family) =>
      rule(noVerdict(family), [...load(family), lookup(`policed${family}`, register(0))], {
        goto: closedChain(side),
      }),
    ),
  ]
}

/** What every packet meets that is not known to be allowed still. */
const hookRules = (judged: readonly Side[]): readonly Rule[] => [
  rule('a connection that the policies in force allowed', [], { jump: currentChain }),
  ...([IPPROTO_ICMP, IPPROTO_ICMPV6] as const).map((protocol) =>
    rule(
      `an ICMP${protocol === IPPROTO_ICMP ? '' : 'v6'} error about a connection`,
      [...isInState('related'), ...isProtocolNumber(protocol)],
      'accept',
    ),
  ),
  rule('a packet without a connection', isInState('invalid', 'untracked'), {
    goto: statelessChain,
  }),
  ...judged.map((side) => rule(`${side}, by the connection`, [], { jump: side })),
  ...judged.flatMap((side) =>
    families.map((family) =>
      rule(
        `an allowed connection, IPv${family} ${side}`,
        isEndIn(family, ownEnd[side], 'policed'),
        {
          goto: admitChain,
        },
      ),
    ),
  ),
]

/**
 * Before srcnat (100) and behind everything else: packets bear their real addresses. What is for
 * the node itself never comes there; it is judged behind IPVS (input, 100).
 */
export function policyChains(): readonly {
  readonly name: ChainName | BaseChain
  readonly rules: readonly Rule[]
}[] {
  const named = (chain: string): ChainName => ({ ...policyTable, chain })
  const hook = (name: 'postrouting' | 'input', priority: number): BaseChain => ({
    ...named(name),
    type: 'filter',
    hook: name,
    priority,
  })
  return [
    { name: named(currentChain), rules: [] },
    { name: named(admitChain), rules: [] },
    ...sides.map((side) => ({ name: named(closedChain(side)), rules: closedRules(side) })),
    ...sides.map((side) => ({ name: named(side), rules: sideRules(side) })),
    ...sides.map((side) => ({
      name: named(statelessSide(side)),
      rules: statelessSideRules(side),
    })),
    { name: named(statelessChain), rules: statelessRules() },
    { name: hook('postrouting', 90), rules: hookRules(sides) },
    { name: hook('input', 110), rules: hookRules(['egress']) },
  ]
}
