import { encodeText, hostOrder } from '../../base/bytes.ts'
import type { ListedExpression } from './listed-expression.ts'

/** All that rules can ask of a packet, as far as `machine.ts` knows. Numbers are the kernel's. */
export type PacketFacts = {
  readonly family: 4 | 6
  /** Network order, 4 or 16 bytes; as the packet bears them where the rules meet it. */
  readonly source: Uint8Array
  readonly target: Uint8Array
  readonly protocol: number
  /** Of ICMP: type and code are its two bytes. */
  readonly sourcePort: number
  readonly targetPort: number
  readonly connection: ConnectionFacts
  /** RTN_*: 2 is this host's own (linux/rtnetlink.h). */
  readonly addressType: (address: Uint8Array) => number
  /** Names; '' where there is none. */
  readonly input: string
  readonly output: string
  /** skb->mark */
  readonly mark: number
}

/** struct nf_conntrack_tuple. */
export type Tuple = {
  readonly source: Uint8Array
  readonly target: Uint8Array
  readonly sourcePort: number
  readonly targetPort: number
}

export type ConnectionFacts =
  /** The kernel could make nothing of the packet, or was told not to look. */
  | { readonly state: 'invalid' | 'untracked' }
  | {
      readonly state: 'new' | 'established' | 'related'
      readonly direction: 'original' | 'reply'
      readonly original: Tuple
      readonly reply: Tuple
      readonly mark: number
      /** Sixteen bytes; absent: zeros. */
      readonly labels?: Uint8Array
    }

/** A rule asks what `PacketFacts` don't tell, or does what is not followed here. */
export class UnknownExpression extends Error {
  override name = 'UnknownExpression'
}

/** What an expression loads; undefined where the kernel ends the rule (NFT_BREAK). */
type Loaded = Uint8Array | undefined

const metaLoads: ReadonlyMap<number, (packet: PacketFacts) => Loaded> = new Map([
  [1, ({ family }: PacketFacts) => Uint8Array.of(...(family === 4 ? [0x08, 0x00] : [0x86, 0xdd]))],
  [3, ({ mark }: PacketFacts) => hostOrder(mark)],
  [6, ({ input }: PacketFacts) => linkName(input)],
  [7, ({ output }: PacketFacts) => linkName(output)],
  [15, ({ family }: PacketFacts) => Uint8Array.of(family === 4 ? 2 : 10)],
  [16, ({ protocol }: PacketFacts) => Uint8Array.of(protocol)],
])

export function loadMeta(key: number, packet: PacketFacts): Loaded {
  const load = metaLoads.get(key)
  if (!load) throw new UnknownExpression(`meta of key ${key} (NFT_META_*)`)
  return load(packet)
}

const linkName = (name: string): Uint8Array => {
  const bytes = new Uint8Array(16)
  bytes.set(encodeText(name).subarray(0, 15))
  return bytes
}

/** Fields of headers that are known, or parts of one (nft compares whole bytes of a prefix). */
export function loadPayload(
  { base, offset, length }: ListedExpression & { name: 'payload' },
  packet: PacketFacts,
): Loaded {
  const fields = base === 1 ? networkHeader(packet) : base === 2 ? transportHeader(packet) : []
  const found = fields.find(([at, bytes]) => at <= offset && offset + length <= at + bytes.length)
  if (!found)
    throw new UnknownExpression(`payload of ${length} bytes at ${offset} of header ${base}`)
  const [at, bytes] = found
  return bytes.subarray(offset - at, offset - at + length)
}

/** A field and where it begins. */
type HeaderField = readonly [number, Uint8Array]

const networkHeader = ({
  family,
  source,
  target,
  protocol,
}: PacketFacts): readonly HeaderField[] =>
  family === 4
    ? [
        [9, Uint8Array.of(protocol)],
        [12, source],
        [16, target],
      ]
    : [
        [6, Uint8Array.of(protocol)],
        [8, source],
        [24, target],
      ]

const icmp = 1
const icmpv6 = 58

const transportHeader = ({
  protocol,
  sourcePort,
  targetPort,
}: PacketFacts): readonly HeaderField[] =>
  protocol === icmp || protocol === icmpv6
    ? [[0, networkOrder(sourcePort)]]
    : [
        [0, networkOrder(sourcePort)],
        [2, networkOrder(targetPort)],
      ]

const stateBits = { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } as const
const NFT_CT_STATE = 0
const NFT_CT_DIRECTION = 1
const NFT_CT_MARK = 3
const NFT_CT_L3PROTOCOL = 7
const NFT_CT_PROTOCOL = 10
const NFT_CT_LABELS = 13

/** nft_ct_get_eval: a field of the other family, or of no connection at all, ends the rule. */
export function loadConnection(
  { key, direction }: ListedExpression & { name: 'ct' },
  packet: PacketFacts,
  mark: number,
): Loaded {
  const { connection, family, protocol } = packet
  if (key === NFT_CT_STATE) return hostOrder(stateBits[connection.state])
  const isKnown = key in tupleFields || wholeFields.includes(key)
  if (!isKnown) throw new UnknownExpression(`ct of key ${key} (NFT_CT_*)`)
  if (!('mark' in connection)) return undefined
  switch (key) {
    case NFT_CT_DIRECTION:
      return Uint8Array.of(connection.direction === 'original' ? 0 : 1)
    case NFT_CT_MARK:
      return hostOrder(mark)
    case NFT_CT_L3PROTOCOL:
      return Uint8Array.of(family === 4 ? 2 : 10)
    case NFT_CT_PROTOCOL:
      return Uint8Array.of(protocol)
    case NFT_CT_LABELS:
      return connection.labels ?? new Uint8Array(16)
  }
  const own = connection.direction === 'original' ? 0 : 1
  const tuple = (direction ?? own) === 0 ? connection.original : connection.reply
  const field = tupleFields[key]
  if (field?.family !== undefined && field.family !== family) return undefined
  return field?.of(tuple)
}

const wholeFields = [
  NFT_CT_DIRECTION,
  NFT_CT_MARK,
  NFT_CT_L3PROTOCOL,
  NFT_CT_PROTOCOL,
  NFT_CT_LABELS,
]

/** By NFT_CT_*: SRC, DST, PROTO_SRC, PROTO_DST, SRC_IP, DST_IP, SRC_IP6, DST_IP6. */
const tupleFields: Readonly<
  Record<number, { readonly family?: 4 | 6; readonly of: (tuple: Tuple) => Uint8Array }>
> = {
  8: { of: ({ source }) => source },
  9: { of: ({ target }) => target },
  11: { of: ({ sourcePort }) => networkOrder(sourcePort) },
  12: { of: ({ targetPort }) => networkOrder(targetPort) },
  19: { family: 4, of: ({ source }) => source },
  20: { family: 4, of: ({ target }) => target },
  21: { family: 6, of: ({ source }) => source },
  22: { family: 6, of: ({ target }) => target },
}

const NFT_FIB_RESULT_ADDRTYPE = 3
const NFTA_FIB_F_SADDR = 1
const NFTA_FIB_F_DADDR = 2

/** [ fib saddr|daddr type ]: RTN_* in host order. */
export function loadFib(
  { result, flags }: ListedExpression & { name: 'fib' },
  packet: PacketFacts,
): Loaded {
  const isKnown = flags === NFTA_FIB_F_SADDR || flags === NFTA_FIB_F_DADDR
  if (result !== NFT_FIB_RESULT_ADDRTYPE || !isKnown)
    throw new UnknownExpression(`fib of result ${result} with flags ${flags}`)
  const address = flags === NFTA_FIB_F_SADDR ? packet.source : packet.target
  return hostOrder(packet.addressType(address))
}

export const networkOrder = (port: number): Uint8Array => Uint8Array.of(port >>> 8, port)
