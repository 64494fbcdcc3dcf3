import { decodeText } from '../../base/bytes.ts'
import { type Attributes, readAttributes, readList, readU32be } from '../netlink/attribute.ts'

// Expressions of rules as the kernel lists them, whoever wrote them. Numbers:
// include/uapi/linux/netfilter/nf_tables.h.

/** Where a value lies among the sixteen four-byte registers: an offset in bytes, 0 … 60. */
export type Place = number

export type Comparison = 'eq' | 'neq' | 'lt' | 'lte' | 'gt' | 'gte'
/** As NFTA_CMP_OP numbers them. */
const comparisons: readonly Comparison[] = ['eq', 'neq', 'lt', 'lte', 'gt', 'gte']

/** What becomes of a packet, or the chain that it goes to. */
export type ListedVerdict =
  | { readonly kind: 'accept' | 'drop' | 'return' | 'continue' | 'break' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string }
  /** NF_STOLEN, NF_QUEUE and what is yet to come. */
  | { readonly kind: 'other'; readonly code: number }

export type ListedExpression =
  | { readonly name: 'meta'; readonly key: number; readonly into: Place }
  | {
      readonly name: 'payload'
      readonly base: number
      readonly offset: number
      readonly length: number
      readonly into: Place
    }
  | {
      readonly name: 'cmp'
      readonly from: Place
      readonly comparison: Comparison
      readonly value: Uint8Array
    }
  | {
      readonly name: 'range'
      readonly from: Place
      readonly isInside: boolean
      readonly first: Uint8Array
      readonly last: Uint8Array
    }
  /** into = (from & mask) ^ xor */
  | {
      readonly name: 'bitwise'
      readonly from: Place
      readonly into: Place
      readonly mask: Uint8Array
      readonly xor: Uint8Array
    }
  /** Each part of so many bytes turned round. */
  | {
      readonly name: 'byteorder'
      readonly from: Place
      readonly into: Place
      readonly length: number
      readonly partBytes: number
    }
  | {
      readonly name: 'lookup'
      readonly set: string
      readonly from: Place
      /** Of a map: where its data goes. */
      readonly into?: Place | 'verdict'
      readonly isInverted: boolean
    }
  | { readonly name: 'immediate'; readonly into: Place; readonly value: Uint8Array }
  | { readonly name: 'verdict'; readonly verdict: ListedVerdict }
  | {
      readonly name: 'ct'
      readonly key: number
      readonly into: Place
      /** IP_CT_DIR_ORIGINAL or _REPLY; absent: the packet's own. */
      readonly direction?: 0 | 1
    }
  | { readonly name: 'ct set'; readonly key: number; readonly from: Place }
  | {
      readonly name: 'fib'
      readonly into: Place
      readonly result: number
      readonly flags: number
    }
  | { readonly name: 'limit'; readonly isInverted: boolean }
  | { readonly name: 'log'; readonly prefix: string; readonly group?: number }
  | { readonly name: 'counter'; readonly packets: bigint; readonly bytes: bigint }
  /** A counter with a name of its own. */
  | { readonly name: 'named counter'; readonly counter: string }
  /** One that is not read here; rules with it can't be followed. */
  | { readonly name: 'unread'; readonly what: string }

/** NFTA_RULE_EXPRESSIONS: a list of NFTA_LIST_ELEM. */
export const decodeExpressions = (list: Uint8Array): readonly ListedExpression[] =>
  readList(list).map(({ payload }) => {
    const found = readAttributes(payload)
    const name = found.get(1)
    const decode = name && decoders[decodeText(name)]
    const what = name ? decodeText(name) : 'nameless'
    return decode?.(readAttributes(found.get(2) ?? empty)) ?? { name: 'unread', what }
  })

/** Undefined: a form of the expression that is not read here. */
type Decode = (data: Attributes) => ListedExpression | undefined

const empty = new Uint8Array()
const verdictRegister = 0

const decoders: Readonly<Record<string, Decode>> = {
  meta: (data) =>
    data.has(3) ? undefined : { name: 'meta', into: placeIn(data, 1), key: numberIn(data, 2) },
  payload: (data) =>
    data.has(5)
      ? undefined
      : {
          name: 'payload',
          into: placeIn(data, 1),
          base: numberIn(data, 2),
          offset: numberIn(data, 3),
          length: numberIn(data, 4),
        },
  cmp: (data) => {
    const comparison = comparisons[numberIn(data, 2)]
    return (
      comparison && { name: 'cmp', from: placeIn(data, 1), comparison, value: valueIn(data, 3) }
    )
  },
  range: (data) => ({
    name: 'range',
    from: placeIn(data, 1),
    isInside: numberIn(data, 2) === 0,
    first: valueIn(data, 3),
    last: valueIn(data, 4),
  }),
  bitwise: decodeBitwise,
  byteorder: (data) => ({
    name: 'byteorder',
    from: placeIn(data, 1),
    into: placeIn(data, 2),
    length: numberIn(data, 4),
    partBytes: numberIn(data, 5),
  }),
  lookup: decodeLookup,
  immediate: (data) => {
    const verdict = readAttributes(data.get(2) ?? empty).get(2)
    if (verdict) return { name: 'verdict', verdict: decodeVerdict(verdict) }
    return { name: 'immediate', into: placeIn(data, 1), value: valueIn(data, 2) }
  },
  ct: decodeConnection,
  fib: (data) => ({
    name: 'fib',
    into: placeIn(data, 1),
    result: numberIn(data, 2),
    flags: numberIn(data, 3),
  }),
  limit: (data) => ({ name: 'limit', isInverted: (numberIn(data, 5) & 1) !== 0 }),
  log: (data) => ({
    name: 'log',
    prefix: decodeText(data.get(2) ?? empty),
    ...(data.has(1) ? { group: u16be(data.get(1) ?? empty) } : {}),
  }),
  objref: (data) =>
    numberIn(data, 1) === NFT_OBJECT_COUNTER
      ? { name: 'named counter', counter: decodeText(data.get(2) ?? empty) }
      : undefined,
  counter: (data) => ({ name: 'counter', bytes: u64be(data.get(1)), packets: u64be(data.get(2)) }),
}

const NFT_OBJECT_COUNTER = 1
const NFT_BITWISE_MASK_XOR = 0

function decodeBitwise(data: Attributes): ListedExpression | undefined {
  if (numberIn(data, 6) !== NFT_BITWISE_MASK_XOR) return undefined
  const [mask, xor] = [valueIn(data, 4), valueIn(data, 5)]
  return { name: 'bitwise', from: placeIn(data, 1), into: placeIn(data, 2), mask, xor }
}

const NFT_LOOKUP_F_INV = 1

function decodeLookup(data: Attributes): ListedExpression {
  const into = data.has(3) && numberIn(data, 3)
  return {
    name: 'lookup',
    set: decodeText(data.get(1) ?? empty),
    from: placeIn(data, 2),
    ...(into === false ? {} : { into: into === verdictRegister ? 'verdict' : placeOf(into) }),
    isInverted: (numberIn(data, 5) & NFT_LOOKUP_F_INV) !== 0,
  }
}

function decodeConnection(data: Attributes): ListedExpression {
  const key = numberIn(data, 2)
  if (data.has(4)) return { name: 'ct set', key, from: placeIn(data, 4) }
  const direction = data.get(3)?.[0]
  return {
    name: 'ct',
    key,
    into: placeIn(data, 1),
    ...(direction === undefined ? {} : { direction: direction === 0 ? 0 : 1 }),
  }
}

const verdictKinds: ReadonlyMap<number, 'accept' | 'drop' | 'return' | 'continue' | 'break'> =
  new Map([
    [0, 'drop'],
    [1, 'accept'],
    [-1, 'continue'],
    [-2, 'break'],
    [-5, 'return'],
  ])
const NFT_JUMP = -3
const NFT_GOTO = -4

/** NFTA_DATA_VERDICT: code, and the chain of a jump. */
export function decodeVerdict(data: Uint8Array): ListedVerdict {
  const found = readAttributes(data)
  const code = readU32be(found.get(1) ?? new Uint8Array(4)) | 0
  const chain = decodeText(found.get(2) ?? empty)
  if (code === NFT_JUMP || code === NFT_GOTO)
    return { kind: code === NFT_JUMP ? 'jump' : 'goto', chain }
  const kind = verdictKinds.get(code)
  return kind ? { kind } : { kind: 'other', code }
}

/**
 * NFT_REG_1 … 4 are sixteen bytes each, NFT_REG32_00 … 15 (numbers 8 … 23) four: the same memory.
 */
export const placeOf = (register: number): Place =>
  register < 8 ? (register - 1) * 16 : (register - 8) * 4

const numberIn = (data: Attributes, type: number): number => {
  const payload = data.get(type)
  return payload ? readU32be(payload) : 0
}
const placeIn = (data: Attributes, type: number): Place => placeOf(numberIn(data, type))
/** NFTA_DATA_VALUE of a nested nft_data. */
const valueIn = (data: Attributes, type: number): Uint8Array =>
  readAttributes(data.get(type) ?? empty).get(1) ?? empty

const u16be = (payload: Uint8Array): number => ((payload[0] ?? 0) << 8) | (payload[1] ?? 0)
export const u64be = (payload: Uint8Array | undefined): bigint =>
  payload ? new DataView(payload.buffer, payload.byteOffset, 8).getBigUint64(0) : 0n
