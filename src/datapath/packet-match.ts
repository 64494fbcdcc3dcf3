import { addressBytes } from '../base/address.ts'
import { concat, encodeText, hostOrder } from '../base/bytes.ts'
import type { Prefix } from '../base/prefix.ts'
import {
  destinationType,
  type Expression,
  equals,
  isAtLeast,
  isAtMost,
  mask,
  meta,
  type PayloadField,
  payload,
  register,
  sourceType,
} from '../wire/nft/expression.ts'
import { RTN_LOCAL } from '../wire/rtnl/route.ts'

/** EtherTypes, as `meta protocol` loads them (linux/if_ether.h). */
const etherTypes = { ipv4: [0x08, 0x00], ipv6: [0x86, 0xdd], arp: [0x08, 0x06] } as const

/** The frame carries this protocol; works on a bridge and in an inet table alike. */
export const isProtocol = (name: keyof typeof etherTypes): readonly Expression[] => [
  meta('protocol', register(0)),
  equals(register(0), Uint8Array.from(etherTypes[name])),
]

/** NFPROTO_IPV4 and NFPROTO_IPV6 (linux/netfilter.h): what a nat chain of an inet table asks. */
export const isFamily = (family: 4 | 6): readonly Expression[] => [
  meta('nfproto', register(0)),
  equals(register(0), Uint8Array.of(family === 4 ? 2 : 10)),
]

const IPPROTO_ICMPV6 = 58

/** An ICMPv6 message of this type (RFC 4861 section 4). */
export const isIcmpv6 = (type: number): readonly Expression[] => [
  ...icmpv6Type,
  equals(register(0), Uint8Array.of(type)),
]

/** Of one of these types. */
export const isIcmpv6Among = (first: number, last: number): readonly Expression[] => [
  ...icmpv6Type,
  isAtLeast(register(0), Uint8Array.of(first)),
  isAtMost(register(0), Uint8Array.of(last)),
]

const icmpv6Type: readonly Expression[] = [
  ...isProtocol('ipv6'),
  meta('l4proto', register(0)),
  equals(register(0), Uint8Array.of(IPPROTO_ICMPV6)),
  payload({ base: 'transport', offset: 0, length: 1 }, register(0)),
]

/** Source and destination in the IPv4 (RFC 791) and IPv6 (RFC 8200) headers. */
export const addressField = (family: 4 | 6, end: 'source' | 'destination'): PayloadField => {
  const length = family === 4 ? 4 : 16
  const source = family === 4 ? 12 : 8
  return { base: 'network', offset: end === 'source' ? source : source + length, length }
}

/** Of TCP, UDP, SCTP. */
export const destinationPort: PayloadField = { base: 'transport', offset: 2, length: 2 }

/** The packet's address is one of this host's, as its routing tables have it. */
export const isThisNode = (end: 'source' | 'destination'): readonly Expression[] => [
  end === 'source' ? sourceType(register(0)) : destinationType(register(0)),
  equals(register(0), hostOrder(RTN_LOCAL)),
]

/** Types of ICMPv6: neighbour discovery and multicast listeners (RFC 4861, 2710, 3810). */
export const discoveryTypes: readonly (readonly [first: number, last: number])[] = [
  [130, 137],
  [143, 143],
]

/** For comments of rules. */
export const nameOfTypes = ([first, last]: readonly [number, number]): string =>
  first === last ? `ICMPv6 ${first}` : `ICMPv6 ${first}-${last}`

const IFNAMSIZ = 16 // linux/if.h

/** A link's name as rules load and sets keep it. */
export function ifnameBytes(name: string): Uint8Array {
  const text = encodeText(name)
  return concat([text, new Uint8Array(IFNAMSIZ - text.length)])
}

/** The field holds an address of the prefix. */
export function isIn(field: PayloadField, { address, bits }: Prefix): readonly Expression[] {
  const bytes = addressBytes(address)
  const load = payload(field, register(0))
  if (bits === bytes.length * 8) return [load, equals(register(0), bytes)]
  const bitsOf = (at: number): number => Math.max(0, Math.min(8, bits - at * 8))
  const maskBytes = bytes.map((_, at) => 0xff & ~(0xff >> bitsOf(at)))
  return [load, mask(register(0), maskBytes), equals(register(0), bytes)]
}
