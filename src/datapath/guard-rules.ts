import { addressBytes } from '../base/address.ts'
import { type Prefix, parsePrefix } from '../base/prefix.ts'
import {
  type Expression,
  equals,
  lookup,
  meta,
  type PayloadField,
  payload,
  register,
  verdict,
  verdictMap,
} from '../wire/nft/expression.ts'
import { concatenate, type Element } from '../wire/nft/set.ts'
import type { Rule, TableName } from '../wire/nft/table.ts'
import type { Attachment } from './attachment.ts'
import {
  addressField,
  discoveryTypes,
  ifnameBytes,
  isIcmpv6,
  isIcmpv6Among,
  isIn,
  isProtocol,
  nameOfTypes,
} from './packet-match.ts'
import { addressOf, macOf } from './wiring.ts'

// A pod sends from its own addresses and its own MAC, or not at all. Rules are built where a table
// is made, which is once in a node's life: an ADD pays for its own elements alone.

/**
 * Key of source4 and source6 in registers: interface name 0–3, MAC 4–5, address from 6 on; `mac` is
 * its first part.
 */
const afterMac = register(6)
const ingress = (): Expression => meta('iifname', register(0))
const etherSource: PayloadField = { base: 'link', offset: 6, length: 6 }
/** ARP for Ethernet and IPv4 (RFC 826). */
const arpSenderMac: PayloadField = { base: 'network', offset: 8, length: 6 }
const arpSender: PayloadField = { base: 'network', offset: 14, length: 4 }
/** Neighbour advertisements (RFC 4861 section 4.4). */
const advertisedTarget: PayloadField = { base: 'transport', offset: 8, length: 16 }
const routerAdvertisement = 134
const neighbourAdvertisement = 136

/** [interface, MAC, address] is in the set. */
const isOwn = (
  set: 'source4' | 'source6',
  mac: PayloadField,
  address: PayloadField,
): readonly Expression[] => [
  ingress(),
  payload(mac, register(4)),
  payload(address, afterMac),
  lookup(set, register(0)),
]

/** [interface, MAC] is in `mac`: a guarded pod, and not with another's MAC. */
const isOwnMac = (mac: PayloadField = etherSource): readonly Expression[] => [
  ingress(),
  payload(mac, register(4)),
  lookup('mac', register(0)),
]

const ipv6Prefix = (text: string): Prefix =>
  parsePrefix(text) ?? { address: { family: 6, value: 0n }, bits: 0 }

/**
 * First of all rules, by table. Worked example, a packet from pod 10.1.0.5 behind tulA with MAC m:
 * [tulA m 10.1.0.5] is in source4, accepted by the first rule, one look-up. From 10.1.0.6: no rule
 * until `guarded`, which sends it to own-address, which ends in a drop. What comes from no pod of
 * ours passes every rule and is accepted by the chain's policy.
 */
export const ingressRules = (family: 'inet' | 'bridge'): readonly Rule[] => [
  ...(family === 'bridge' ? discoveryRules() : []),
  {
    comment: 'a pod sends from its own IPv4 address',
    expressions: [
      ...isProtocol('ipv4'),
      ...isOwn('source4', etherSource, addressField(4, 'source')),
      verdict('accept'),
    ],
  },
  {
    comment: 'a pod sends from its own IPv6 address',
    expressions: [
      ...isProtocol('ipv6'),
      ...isOwn('source6', etherSource, addressField(6, 'source')),
      verdict('accept'),
    ],
  },
  {
    comment: 'anything else from a guarded pod',
    expressions: [ingress(), verdictMap('guarded', register(0))],
  },
]

/**
 * On a bridge pods hear one another: who advertises a neighbour's address, or a router, would draw
 * its traffic.
 */
const discoveryRules = (): readonly Rule[] => [
  {
    comment: 'a pod is no router (CVE-2020-10749)',
    expressions: [...isIcmpv6(routerAdvertisement), ...isOwnMac(), verdict('drop')],
  },
  {
    comment: 'a pod advertises itself alone',
    expressions: [
      ...isIcmpv6(neighbourAdvertisement),
      ...isOwnMac(),
      verdict({ jump: 'own-neighbour' }),
    ],
  },
]

export const ownNeighbourRules = (): readonly Rule[] => [
  {
    comment: 'its own IPv6 address',
    expressions: [...isOwn('source6', etherSource, advertisedTarget), verdict('return')],
  },
  {
    comment: 'a link-local address',
    expressions: [...isIn(advertisedTarget, ipv6Prefix('fe80::/10')), verdict('return')],
  },
  { comment: 'not its own', expressions: [verdict('drop')] },
]

const fromOwnMac = (prefix: string): readonly Expression[] => [
  ...isProtocol('ipv6'),
  ...isIn(addressField(6, 'source'), ipv6Prefix(prefix)),
  ...isOwnMac(),
  verdict('accept'),
]

/** What a pod with addresses may send besides. */
export const ownAddressRules = (family: 'inet' | 'bridge'): readonly Rule[] => [
  { comment: 'link-local, from its own MAC', expressions: fromOwnMac('fe80::/10') },
  {
    comment: 'before it has an address (RFC 4862), from its own MAC',
    expressions: fromOwnMac('::/128'),
  },
  ...(family === 'bridge' ? arpRules() : []),
  { comment: 'not its own', expressions: [verdict('drop')] },
]

/**
 * What a routed pod that policies hold for may send besides: they know it by its addresses, so that
 * by a link-local one it would reach this node past them (P31).
 */
export const judgedAddressRules = (): readonly Rule[] => [
  ...discoveryTypes.map((types) => ({
    comment: `link-local ${nameOfTypes(types)}, from its own MAC`,
    expressions: [
      ...isIcmpv6Among(...types),
      ...isIn(addressField(6, 'source'), ipv6Prefix('fe80::/10')),
      ...isOwnMac(),
      verdict('accept'),
    ],
  })),
  {
    comment: 'before it has an address (RFC 4862), from its own MAC',
    expressions: fromOwnMac('::/128'),
  },
  { comment: 'not its own', expressions: [verdict('drop')] },
]

const arpRules = (): readonly Rule[] => [
  {
    comment: 'ARP for its own address, from its own MAC',
    expressions: [
      ...isProtocol('arp'),
      ...isOwnMac(),
      ...isOwn('source4', arpSenderMac, arpSender),
      verdict('accept'),
    ],
  },
  {
    comment: 'ARP probe (RFC 5227), from its own MAC',
    expressions: [
      ...isProtocol('arp'),
      payload(arpSender, register(0)),
      equals(register(0), new Uint8Array(4)),
      ...isOwnMac(),
      ...isOwnMac(arpSenderMac),
      verdict('accept'),
    ],
  },
]

/** What a pod without addresses may send: Tulle knows its MAC alone. */
export const ownMacRules = (): readonly Rule[] => [
  { comment: 'from its own MAC', expressions: [...isOwnMac(), verdict('accept')] },
  { comment: 'not its own', expressions: [verdict('drop')] },
]

/** Where a routed pod goes on that policies hold for: not every table has it, as it came later. */
export const judgedChain = 'judged-address'
export const isJudged = ({ mode, isPoliced, spoofCheck, ips }: Attachment): boolean =>
  mode === 'routed' && isPoliced === true && spoofCheck && ips.length > 0

/** What the guard knows of a pod. */
export function guardElements(table: TableName, attachment: Attachment): readonly Element[] {
  const { link, podMac, ips } = attachment
  const name = ifnameBytes(link)
  const mac = macOf(podMac)
  const besides = isJudged(attachment) ? judgedChain : 'own-address'
  const check = ips.length > 0 ? besides : 'own-mac'
  return [
    ...ips.map(({ address: text }) => {
      const address = addressOf(text)
      const key = concatenate([name, mac, addressBytes(address)])
      return { ...table, set: `source${address.family}`, key }
    }),
    { ...table, set: 'mac', key: concatenate([name, mac]) },
    { ...table, set: 'guarded', key: name, verdict: { jump: check } },
  ]
}
