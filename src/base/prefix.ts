import { type Address, addressBits, formatAddress, parseAddress } from './address.ts'

/** An address with a prefix length, as in "10.1.2.3/24"; host bits are kept. */
export type Prefix = { readonly address: Address; readonly bits: number }

/** CIDR text; the length is decimal without sign or leading zero, 0 … 32 or 0 … 128. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/')
  if (slash < 0) return undefined
  const address = parseAddress(text.slice(0, slash))
  const length = text.slice(slash + 1)
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined
  const bits = Number(length)
  return bits <= addressBits(address.family) ? { address, bits } : undefined
}

export const formatPrefix = ({ address, bits }: Prefix): string =>
  `${formatAddress(address)}/${bits}`

/** The prefix of one address alone: /32 or /128. */
export const hostPrefix = (address: Address): Prefix => ({
  address,
  bits: addressBits(address.family),
})

/** The same network with host bits cleared. */
export const networkOf = ({ address, bits }: Prefix): Prefix => ({
  address: {
    family: address.family,
    value: (address.value >> spare(address, bits)) << spare(address, bits),
  },
  bits,
})

/** First and last address of the network, both included. */
export function boundsOf(prefix: Prefix): { readonly first: Address; readonly last: Address } {
  const first = networkOf(prefix).address
  const size = 1n << spare(prefix.address, prefix.bits)
  return { first, last: { family: first.family, value: first.value + size - 1n } }
}

export function contains(prefix: Prefix, address: Address): boolean {
  if (prefix.address.family !== address.family) return false
  const shift = spare(address, prefix.bits)
  return prefix.address.value >> shift === address.value >> shift
}

export const overlaps = (left: Prefix, right: Prefix): boolean =>
  contains(left, right.address) || contains(right, left.address)

/** For sorting: IPv4 first, then by address, then whoever holds more comes first. */
export function comparePrefixes(left: Prefix, right: Prefix): number {
  if (left.address.family !== right.address.family)
    return left.address.family - right.address.family
  if (left.address.value !== right.address.value)
    return left.address.value < right.address.value ? -1 : 1
  return left.bits - right.bits
}

/** Without bits beyond its length: not 10.1.0.0/8. */
export const isNetwork = (prefix: Prefix): boolean => samePrefix(prefix, networkOf(prefix))

export const samePrefix = (left: Prefix, right: Prefix): boolean =>
  left.address.family === right.address.family &&
  left.address.value === right.address.value &&
  left.bits === right.bits

const spare = ({ family }: Address, bits: number): bigint => BigInt(addressBits(family) - bits)
