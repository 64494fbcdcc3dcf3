import { networkOf, type Prefix, parsePrefix } from '../base/prefix.ts'

const mappedBits = 96

/**
 * A CIDR as old objects may spell it (P6): host bits are cleared, leading zeros of decimals are
 * dropped, and an IPv4-mapped IPv6 network is the IPv4 network.
 */
export function parseLenientPrefix(text: string): Prefix | undefined {
  const isV6 = text.includes(':')
  const plain = text.replace(isV6 ? /(?<=\/)0+(?=\d)/g : /(?<=^|[./])0+(?=\d)/g, '')
  const prefix = parsePrefix(plain)
  return prefix && unmapped(networkOf(prefix))
}

function unmapped(prefix: Prefix): Prefix {
  const { address, bits } = prefix
  const isMapped = address.family === 6 && bits >= mappedBits && address.value >> 32n === 0xffffn
  if (!isMapped) return prefix
  return { address: { family: 4, value: address.value & 0xffff_ffffn }, bits: bits - mappedBits }
}
