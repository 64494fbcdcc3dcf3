import { addressBytes } from '../base/address.ts'
import { contains, formatPrefix, networkOf, type Prefix } from '../base/prefix.ts'
import { masquerade, payload, register, verdict, verdictMap } from '../wire/nft/expression.ts'
import type { Element } from '../wire/nft/set.ts'
import type { ChainName, Rule, TableName } from '../wire/nft/table.ts'
import type { Attachment } from './attachment.ts'
import { digestOf } from './identity.ts'
import { addressField, isFamily, isIn } from './packet-match.ts'
import { addressOf, prefixOf, subnetOf } from './wiring.ts'

/** Source address of a pod → the chain that knows which destinations are left alone. */
export const masqueradeRules = (): readonly Rule[] =>
  ([4, 6] as const).map((family) => ({
    comment: `masquerade IPv${family} of pods`,
    expressions: [
      ...isFamily(family),
      payload(addressField(family, 'source'), register(0)),
      verdictMap(`masquerade${family}`, register(0)),
    ],
  }))

/** Multicast is never masqueraded: a group's members must see who speaks. */
const multicast = ['224.0.0.0/4', 'ff00::/8']

/**
 * Destinations that keep the pod's address: its own subnets, multicast, and what the configuration
 * lists; none that another covers, and sorted, so that equal lists are equal chains.
 */
function exceptionsOf({ ips, masqueradeExcept }: Attachment): readonly Prefix[] {
  const own = ips.map(({ address, subnetBits }) => subnetOf(address, subnetBits))
  const listed = [...(masqueradeExcept ?? []), ...multicast].map(prefixOf).map(networkOf)
  const byText = new Map([...own, ...listed].map((prefix) => [formatPrefix(prefix), prefix]))
  const all = [...byText.values()]
  return all
    .filter((prefix) => !all.some((other) => other !== prefix && covers(other, prefix)))
    .sort((left, right) => (formatPrefix(left) < formatPrefix(right) ? -1 : 1))
}

const covers = (outer: Prefix, inner: Prefix): boolean =>
  outer.bits <= inner.bits && contains(outer, inner.address)

export const masqueradePrefix = 'masquerade-'

type OwnChain = { readonly name: ChainName; readonly rules: readonly Rule[] }
const known = new WeakMap<Attachment, OwnChain>()

/**
 * A chain named by its content: attachments with equal exceptions share it, and the kernel counts
 * who does.
 */
export function masqueradeChainOf(table: TableName, attachment: Attachment): OwnChain | undefined {
  if (attachment.masqueradeExcept === null || attachment.ips.length === 0) return undefined
  const chain = known.get(attachment) ?? describeChain(table, attachment)
  known.set(attachment, chain)
  return chain
}

function describeChain(table: TableName, attachment: Attachment): OwnChain {
  const prefixes = exceptionsOf(attachment)
  const chain = masqueradePrefix + digestOf(prefixes.map(formatPrefix).join(' '))
  const rules = prefixes.map((prefix) => ({
    comment: `to ${formatPrefix(prefix)}: as it is`,
    expressions: [
      ...isFamily(prefix.address.family),
      ...isIn(addressField(prefix.address.family, 'destination'), prefix),
      verdict('return'),
    ],
  }))
  const last = { comment: 'from the address of the way out', expressions: [masquerade()] }
  return { name: { ...table, chain }, rules: [...rules, last] }
}

export function masqueradeElements(table: TableName, attachment: Attachment): readonly Element[] {
  const chain = masqueradeChainOf(table, attachment)
  if (!chain) return []
  return attachment.ips.map(({ address }) => {
    const parsed = addressOf(address)
    const set = `masquerade${parsed.family}`
    return { ...table, set, key: addressBytes(parsed), verdict: { jump: chain.name.chain } }
  })
}
