export type Family = 4 | 6

/** One IP address. `value` is the address as a number: 0 … 2³²−1, or 0 … 2¹²⁸−1. */
export type Address = { readonly family: Family; readonly value: bigint }

export const addressBits = (family: Family): number => (family === 4 ? 32 : 128)

/** IPv4 or IPv6 text (RFC 4291 section 2.2); zones, prefixes, blanks and odd octets are refused. */
export function parseAddress(text: string): Address | undefined {
  const value = text.includes(':') ? parseIPv6(text) : parseIPv4(text)
  if (value === undefined) return undefined
  return { family: text.includes(':') ? 6 : 4, value }
}

/** Dotted quad, or RFC 5952 text: lower case, longest run of zeros (two or more) as `::`. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return bytesOf(value, 4).join('.')
  const groups = Array.from({ length: 8 }, (_, at) =>
    Number((value >> BigInt(112 - 16 * at)) & 0xffffn),
  )
  const { start, length } = longestZeroRun(groups)
  const words = groups.map((group) => group.toString(16))
  if (length < 2) return words.join(':')
  return `${words.slice(0, start).join(':')}::${words.slice(start + length).join(':')}`
}

/** Network order, 4 or 16 bytes. */
export const addressBytes = ({ family, value }: Address): Uint8Array =>
  bytesOf(value, family === 4 ? 4 : 16)

/** From 4 or 16 bytes in network order; another length is `undefined`. */
export function addressFromBytes(bytes: Uint8Array): Address | undefined {
  if (bytes.length !== 4 && bytes.length !== 16) return undefined
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return { family: bytes.length === 4 ? 4 : 6, value }
}

export const sameAddress = (left: Address, right: Address): boolean =>
  left.family === right.family && left.value === right.value

/** A key that orders and compares as the address does: the family's digit, then 32 hex digits. */
export const addressKey = ({ family, value }: Address): string =>
  `${family}${value.toString(16).padStart(32, '0')}`

export const offsetAddress = ({ family, value }: Address, by: bigint): Address => ({
  family,
  value: value + by,
})

function bytesOf(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = length - 1, rest = value; at >= 0; at--, rest >>= 8n)
    bytes[at] = Number(rest & 0xffn)
  return bytes
}

function parseIPv4(text: string): bigint | undefined {
  const octets = text.split('.')
  if (octets.length !== 4 || !octets.every(isOctet)) return undefined
  return octets.reduce((sum, octet) => sum * 256n + BigInt(octet), 0n)
}

const isOctet = (text: string): boolean => /^(0|[1-9]\d{0,2})$/.test(text) && Number(text) <= 255

function parseIPv6(text: string): bigint | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0] ?? '', halves.length === 1)
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail]
  return groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n)
}

/**
 * Groups of one side of `::`; a dotted quad may stand at the end of the whole text (RFC 4291 2.2,
 * form 3).
 */
function parseGroups(text: string, mayEndInQuad: boolean): number[] | undefined {
  if (text === '') return []
  const words = text.split(':')
  const groups: number[] = []
  for (const [at, word] of words.entries()) {
    if (word.includes('.') && mayEndInQuad && at === words.length - 1) {
      const quad = parseIPv4(word)
      if (quad === undefined) return undefined
      groups.push(Number(quad >> 16n), Number(quad & 0xffffn))
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(word)) return undefined
      groups.push(Number.parseInt(word, 16))
    }
  }
  return groups
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  for (let start = 0; start < groups.length; start++) {
    let length = 0
    while (groups[start + length] === 0) length++
    if (length > best.length) best = { start, length }
  }
  return best
}
