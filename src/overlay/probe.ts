import type { Family } from '../base/address.ts'
import { decodeText, encodeText, Reader, Writer } from '../base/bytes.ts'

// The underlay self-test's datagrams. A node asks and its peer answers, each time by one UDP port:
// between the nodes' addresses (`node`), and between the first addresses of their podCIDRs
// (`pods`), which go the way that pods' packets go, through the tunnel or without it.

export const probePort = 7476

/** Which way, and the family of the addresses that it is between. */
export type Path = 'node-4' | 'node-6' | 'pods-4' | 'pods-6'
export const paths = ['node-4', 'node-6', 'pods-4', 'pods-6'] as const satisfies readonly Path[]
export const pathOf = (way: 'node' | 'pods', family: Family): Path => `${way}-${family}`
export const familyOf = (path: Path): Family => (path.endsWith('4') ? 4 : 6)

/** `full` fills the MTU; `search` is a step on the way to the largest that passes. */
export type Size = 'small' | 'full' | 'search'
const sizes = ['small', 'full', 'search'] as const satisfies readonly Size[]

/** What has come in from the receiver lately, as "pods-4 full". */
export type Heard = ReadonlySet<`${Path} ${'small' | 'full'}`>
const hearable = paths.flatMap((path) =>
  (['small', 'full'] as const).map((size) => `${path} ${size}` as const),
)

export type Datagram = {
  readonly kind: 'request' | 'answer'
  readonly from: string
  readonly to: string
  /** Unsigned, 32 bits; an answer has its request's. */
  readonly sequence: number
  readonly size: Size
  /** The way that the answer is to take: another than the request's tells the directions apart. */
  readonly answerBy: Path
  readonly heard: Heard
  /** UDP datagrams that the sender's kernel has dropped for their checksum; 32 bits. */
  readonly checksumErrors: number
}

const magic = encodeText('tulp')
const version = 1
const headBytes = 20
/** Of an object in Kubernetes (RFC 1123 subdomain). */
const nameBytesMax = 253
/** What UDP carries over IPv4; whoever has a larger MTU is probed up to here. */
const datagramBytesMax = 65_507

/**
 * In network order: "tulp", version, kind (1 request, 2 answer), size, answerBy, length of the
 * whole (16 bits), bits of `heard` (8), a zero, sequence (32), checksum errors (32), then both
 * names, each behind its length (8), then zeros up to `bytes`.
 */
export function encodeProbe(datagram: Datagram, bytes = 0): Uint8Array {
  const { kind, size, answerBy, heard, sequence, checksumErrors } = datagram
  const names = [datagram.from, datagram.to].map((name) => encodeText(name))
  const least = headBytes + names.reduce((sum, { length }) => sum + 1 + length, 0)
  const length = Math.min(Math.max(least, bytes), datagramBytesMax)
  const writer = new Writer()
    .bytes(magic)
    .u8(version)
    .u8(kind === 'request' ? 1 : 2)
    .u8(sizes.indexOf(size))
    .u8(paths.indexOf(answerBy))
    .u16be(length)
    .u8(hearable.reduce((bits, one, at) => bits | (heard.has(one) ? 1 << at : 0), 0))
    .u8(0)
    .u32be(sequence)
    .u32be(checksumErrors)
  for (const name of names) writer.u8(name.length).bytes(name)
  return writer.bytes(new Uint8Array(length - least)).done()
}

/** Undefined for what is none, was cut, or is of another version: anybody may send to a port. */
export function decodeProbe(bytes: Uint8Array): Datagram | undefined {
  if (bytes.length < headBytes || magic.some((byte, at) => bytes[at] !== byte)) return undefined
  const reader = new Reader(bytes.subarray(magic.length))
  if (reader.u8() !== version) return undefined
  const kind = ([undefined, 'request', 'answer'] as const)[reader.u8()]
  const size = sizes[reader.u8()]
  const answerBy = paths[reader.u8()]
  const length = reader.u8() * 256 + reader.u8()
  const bits = reader.u8()
  reader.u8()
  const sequence = reader.u32be()
  const checksumErrors = reader.u32be()
  const from = readName(reader)
  const to = readName(reader)
  if (!kind || !size || !answerBy || !from || !to || length !== bytes.length) return undefined
  const heard = new Set(hearable.filter((_, at) => (bits & (1 << at)) !== 0))
  return { kind, from, to, sequence, size, answerBy, heard, checksumErrors }
}

function readName(reader: Reader): string | undefined {
  if (reader.left === 0) return undefined
  const length = reader.u8()
  if (length === 0 || length > nameBytesMax || length > reader.left) return undefined
  return decodeText(reader.bytes(length))
}

/** The payload that fills an IP packet: RFC 791, RFC 8200, RFC 768. */
export const payloadBytes = (packetBytes: number, family: Family): number =>
  packetBytes - (family === 4 ? 20 : 40) - 8
/** As `payloadBytes`, the other way round. */
export const packetBytes = (payload: number, family: Family): number =>
  payload + (family === 4 ? 20 : 40) + 8

/**
 * Where the search for the largest packet goes on, between one that passes and one that does not;
 * undefined when it has ended, and `passes` is the largest.
 */
export const nextSearch = ({ passes, fails }: Bounds): number | undefined =>
  fails - passes > 1 ? passes + Math.floor((fails - passes) / 2) : undefined
export type Bounds = { readonly passes: number; readonly fails: number }

/**
 * `InCsumErrors` of UDP in /proc/net/snmp: a line of names, then one of numbers. 0 where there is
 * none.
 */
export function parseChecksumErrors(snmp: string): number {
  const [names, numbers] = snmp
    .split('\n')
    .filter((line) => line.startsWith('Udp: '))
    .map((line) => line.split(' '))
  const at = names?.indexOf('InCsumErrors') ?? -1
  return at < 0 ? 0 : Number(numbers?.[at] ?? 0) >>> 0
}
