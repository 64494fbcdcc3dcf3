import { addressBytes } from '../base/address.ts'
import { concat, encodeText } from '../base/bytes.ts'
import { contains, formatPrefix, networkOf, parsePrefix, type Prefix } from '../base/prefix.ts'
import type { Query } from '../wire/netlink/message.ts'
import { equals, type Expression, lookup, mask, masquerade, meta, payload, register, verdict, verdictMap } from '../wire/nft/expression.ts'
import { concatenate, type Element, newSet, type KeyType } from '../wire/nft/set.ts'
import { type ChainName, flushChain, deleteChain, newChain, newRule, newTable, type Rule, type TableName } from '../wire/nft/table.ts'
import { type Attachment, nameOf } from './attachment.ts'
import { digestOf } from './identity.ts'
import { addressOf, macOf, subnetOf } from './wiring.ts'

// Two tables. `inet tulle` masquerades, and guards routed pods; `bridge tulle` guards pods on a bridge, whose frames to one
// another no inet hook sees. Rules are the same for any number of pods: what differs is in sets and maps.

export const inetTable: TableName = { family: 'inet', table: 'tulle' }
export const bridgeTable: TableName = { family: 'bridge', table: 'tulle' }
export const tables = [inetTable, bridgeTable] as const

/** Tables that an attachment needs something in. */
export const tablesOf = (attachment: Attachment): readonly TableName[] =>
  tables.filter(({ family }) => elementsOf(attachment).some((element) => element.family === family))

type SetShape = { readonly set: string; readonly key: readonly KeyType[]; readonly verdicts: boolean }

/** guarded: host end → the check that its pod's packets pass. source4/6, mac: what that pod may send from. */
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
export const setsOf = ({ family }: TableName): readonly string[] =>
  (family === 'inet' ? [...guardSets, ...masqueradeSets] : guardSets).map(({ set }) => set)

const ETH_P_IP = Uint8Array.of(0x08, 0x00)
const ETH_P_IPV6 = Uint8Array.of(0x86, 0xdd)
const ETH_P_ARP = Uint8Array.of(0x08, 0x06)
const isIpv4 = [meta('protocol', register(0)), equals(register(0), ETH_P_IP)]
const isIpv6 = [meta('protocol', register(0)), equals(register(0), ETH_P_IPV6)]
const isArp = [meta('protocol', register(0)), equals(register(0), ETH_P_ARP)]
const ingress = meta('iifname', register(0))
const etherSource = payload({ base: 'link', offset: 6, length: 6 }, register(4))
const afterMac = register(6)
const ipv4Source = payload({ base: 'network', offset: 12, length: 4 }, afterMac)
const ipv6Source = payload({ base: 'network', offset: 8, length: 16 }, afterMac)
/** ARP for Ethernet and IPv4 (RFC 826): sender hardware address at 8, sender protocol address at 14. */
const arpSenderMac = payload({ base: 'network', offset: 8, length: 6 }, register(4))
const arpSender = payload({ base: 'network', offset: 14, length: 4 }, afterMac)

/**
 * Worked example, a packet from pod 10.1.0.5 behind tulA with MAC m: [tulA m 10.1.0.5] is in source4, accepted by the first
 * rule, one look-up. From 10.1.0.6: no rule until `guarded`, which sends tulA to own-address, which ends in a drop.
 */
const firstRules: readonly Rule[] = [
  { comment: 'a pod sends from its own IPv4 address', expressions: [...isIpv4, ingress, etherSource, ipv4Source, lookup('source4', register(0)), verdict('accept')] },
  { comment: 'a pod sends from its own IPv6 address', expressions: [...isIpv6, ingress, etherSource, ipv6Source, lookup('source6', register(0)), verdict('accept')] },
  { comment: 'anything else from a guarded pod', expressions: [ingress, verdictMap('guarded', register(0))] },
] // biome-ignore format: a table

const sourceIpv6 = (prefix: string): readonly Expression[] => [
  ...isIpv6,
  ...inPrefix(prefixIn(prefix), 'source'),
  ingress, etherSource, lookup('mac', register(0)),
] // biome-ignore format: a rule
const prefixIn = (text: string): Prefix => parsePrefix(text) ?? { address: { family: 6, value: 0n }, bits: 0 }

const ownAddressRules = (family: TableName['family']): readonly Rule[] => [
  { comment: 'link-local, from its own MAC', expressions: [...sourceIpv6('fe80::/10'), verdict('accept')] },
  { comment: 'before it has an address (RFC 4862), from its own MAC', expressions: [...sourceIpv6('::/128'), verdict('accept')] },
  ...(family === 'bridge' ? arpRules : []),
  { comment: 'not its own', expressions: [verdict('drop')] },
] // biome-ignore format: a table

const ownMac: readonly Expression[] = [ingress, etherSource, lookup('mac', register(0))]
const arpRules: readonly Rule[] = [
  {
    comment: 'ARP for its own address, from its own MAC',
    expressions: [...isArp, ...ownMac, ingress, arpSenderMac, arpSender, lookup('source4', register(0)), verdict('accept')],
  },
  {
    comment: 'ARP probe (RFC 5227), from its own MAC',
    expressions: [
      ...isArp,
      payload({ base: 'network', offset: 14, length: 4 }, register(0)),
      equals(register(0), new Uint8Array(4)),
      ...ownMac,
      arpSenderMac,
      lookup('mac', register(0)),
      verdict('accept'),
    ],
  },
] // biome-ignore format: a table

const ownMacRules: readonly Rule[] = [
  { comment: 'from its own MAC', expressions: [...ownMac, verdict('accept')] },
  { comment: 'not its own', expressions: [verdict('drop')] },
]

const masqueradeRules: readonly Rule[] = [
  { comment: 'masquerade IPv4 of pods', expressions: [...isNfproto('ipv4'), payload({ base: 'network', offset: 12, length: 4 }, register(0)), verdictMap('masquerade4', register(0))] },
  { comment: 'masquerade IPv6 of pods', expressions: [...isNfproto('ipv6'), payload({ base: 'network', offset: 8, length: 16 }, register(0)), verdictMap('masquerade6', register(0))] },
] // biome-ignore format: a table

/** NFPROTO_IPV4 and NFPROTO_IPV6 of linux/netfilter.h. */
function isNfproto(family: 'ipv4' | 'ipv6'): readonly Expression[] {
  return [meta('nfproto', register(0)), equals(register(0), Uint8Array.of(family === 'ipv4' ? 2 : 10))]
}

function inPrefix({ address, bits }: Prefix, end: 'source' | 'destination'): readonly Expression[] {
  const bytes = addressBytes(address)
  const length = bytes.length
  const offset = (length === 4 ? 12 : 8) + (end === 'source' ? 0 : length)
  const maskBytes = bytes.map((_, at) => 0xff & ~(0xff >> Math.max(0, Math.min(8, bits - at * 8))))
  const load = payload({ base: 'network', offset, length }, register(0))
  return bits === length * 8
    ? [load, equals(register(0), bytes)]
    : [load, mask(register(0), maskBytes), equals(register(0), bytes)]
}

type Chain = { readonly name: ChainName; readonly queries: readonly Query[]; readonly rules: readonly Rule[] }

/** nft's names for these: priority raw (before conntrack), srcnat; on a bridge filter is -200, and raw comes before. */
function chainsOf(table: TableName): readonly Chain[] {
  const named = (chain: string): ChainName => ({ ...table, chain })
  const guard = { ...named('prerouting'), type: 'filter', hook: 'prerouting', priority: -300 } as const
  const nat = { ...named('postrouting'), type: 'nat', hook: 'postrouting', priority: 100 } as const
  return [
    { name: named('own-address'), queries: [newChain(named('own-address'))], rules: ownAddressRules(table.family) },
    { name: named('own-mac'), queries: [newChain(named('own-mac'))], rules: ownMacRules },
    { name: guard, queries: [newChain(guard)], rules: firstRules },
    ...(table.family === 'inet' ? [{ name: nat, queries: [newChain(nat)], rules: masqueradeRules }] : []),
  ] // biome-ignore format: a table
}

/** The whole table without any pod in it; refused as a whole (EEXIST) where it stands already. */
export function tableQueries(table: TableName): readonly Query[] {
  const shapes = table.family === 'inet' ? [...guardSets, ...masqueradeSets] : guardSets
  const chains = chainsOf(table)
  return [
    newTable(table),
    ...shapes.map((shape, at) => newSet({ ...table, ...shape, id: at + 1 })),
    ...chains.flatMap(({ queries }) => queries),
    ...chains.flatMap(({ name, rules }) => rules.map((rule) => newRule(name, rule))),
  ]
}

/** Every rule that a table must hold for an attachment, as "chain: comment", in order: what CHECK compares. */
export function rulesOf(table: TableName, attachment: Attachment): readonly string[] {
  const own = table.family === 'inet' ? masqueradeChainOf(attachment) : undefined
  return [...chainsOf(table), ...(own ? [own] : [])].flatMap(({ name, rules }) =>
    rules.map(({ comment }) => `${name.chain}: ${comment}`),
  )
}

/** Multicast is never masqueraded: a group's members must see who speaks. */
const multicast = ['224.0.0.0/4', 'ff00::/8']

/** Destinations that keep the pod's address: its own subnets, multicast, and what the configuration lists; sorted, so that equal lists are equal chains. */
function exceptionsOf({ ips, masqueradeExcept }: Attachment): readonly Prefix[] {
  const own = ips.map(({ address, subnetBits }) => subnetOf(address, subnetBits))
  const listed = [...(masqueradeExcept ?? []), ...multicast].map(prefixIn).map(networkOf)
  const all = [...own, ...listed]
  const kept = all.filter((prefix, at) => !all.some((other, index) => index !== at && covers(other, prefix) && (!covers(prefix, other) || index < at)))
  return kept.sort((left, right) => (formatPrefix(left) < formatPrefix(right) ? -1 : 1))
}
const covers = (outer: Prefix, inner: Prefix): boolean =>
  outer.bits <= inner.bits && contains(outer, inner.address)

/** A chain named by its content: attachments with equal exceptions share it, and the kernel counts who does. */
export function masqueradeChainOf(attachment: Attachment): Chain | undefined {
  if (attachment.masqueradeExcept === null || attachment.ips.length === 0) return undefined
  const prefixes = exceptionsOf(attachment)
  const name = { ...inetTable, chain: `masquerade-${digestOf(prefixes.map(formatPrefix).join(' '))}` }
  const rules: Rule[] = prefixes.map((prefix) => ({
    comment: `to ${formatPrefix(prefix)}: as it is`,
    expressions: [
      ...isNfproto(prefix.address.family === 4 ? 'ipv4' : 'ipv6'),
      ...inPrefix(prefix, 'destination'),
      verdict('return'),
    ],
  }))
  rules.push({ comment: 'from the address of the way out', expressions: [masquerade()] })
  const queries = [newChain(name), ...rules.map((rule) => newRule(name, rule))]
  return { name, queries, rules }
}

/** Removes the chain; the kernel refuses (EBUSY) while another attachment's element jumps to it. */
export const dropChain = (name: ChainName): readonly Query[] => [flushChain(name), deleteChain(name)]

const ifnameBytes = 16

/** What an attachment has in the sets, each element with the attachment's name as its comment. */
export function elementsOf(attachment: Attachment): readonly Element[] {
  const comment = nameOf(attachment)
  return [
    ...(attachment.spoofCheck ? guardElements(attachment) : []),
    ...masqueradeElements(attachment),
  ].map((element) => ({ ...element, comment }))
}

function guardElements(attachment: Attachment): readonly Element[] {
  const { link, podMac, ips, mode } = attachment
  const table = mode === 'bridge' ? bridgeTable : inetTable
  const name = concat([encodeText(link), new Uint8Array(ifnameBytes - link.length)])
  const mac = macOf(podMac)
  const sources = ips.map(({ address }) => addressOf(address))
  return [
    ...sources.map((address) => ({
      ...table,
      set: `source${address.family}`,
      key: concatenate([name, mac, addressBytes(address)]),
    })),
    { ...table, set: 'mac', key: concatenate([name, mac]) },
    { ...table, set: 'guarded', key: name, verdict: { jump: ips.length > 0 ? 'own-address' : 'own-mac' } },
  ]
}

function masqueradeElements(attachment: Attachment): readonly Element[] {
  const chain = masqueradeChainOf(attachment)
  if (!chain) return []
  return attachment.ips.map(({ address }) => {
    const parsed = addressOf(address)
    const set = `masquerade${parsed.family}`
    return { ...inetTable, set, key: addressBytes(parsed), verdict: { jump: chain.name.chain } }
  })
}
