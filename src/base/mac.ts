import { toHex } from './bytes.ts'

declare const brand: unique symbol

/** Six bytes of an Ethernet address. Only `parseMac`, `macFromBytes` and `localMac` make one. */
export type Mac = Uint8Array & { readonly [brand]: 'Mac' }

/**
 * "0a:58:0a:01:00:05" (or with hyphens), unicast and not all zeros: what a link may carry as its
 * own address.
 */
export function parseMac(text: string): Mac | undefined {
  if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) return undefined
  const bytes = Uint8Array.from(text.split(/[:-]/), (pair) => Number.parseInt(pair, 16))
  const unicast = ((bytes[0] ?? 1) & 1) === 0
  return unicast && bytes.some((byte) => byte !== 0) ? (bytes as Mac) : undefined
}

export const formatMac = (mac: Uint8Array): string => (toHex(mac).match(/../g) ?? []).join(':')

export const macFromBytes = (bytes: Uint8Array): Mac | undefined =>
  bytes.length === 6 ? (bytes as Mac) : undefined

/**
 * Six bytes of a hash as a locally administered unicast address (IEEE 802-2014 section 8.2.1: x2,
 * x6, xa, xe).
 */
export function localMac(hash: Uint8Array): Mac {
  const bytes = hash.slice(0, 6)
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02
  return bytes as Mac
}
