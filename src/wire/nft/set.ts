import { concat, decodeText } from '../../base/bytes.ts'
import {
  type Attribute,
  attribute,
  nested,
  readAttributes,
  readList,
  readU32be,
  text,
  u32be,
} from '../netlink/attribute.ts'
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, type Query } from '../netlink/message.ts'
import { type Verdict, verdictData } from './expression.ts'
import { commentData, nftQuery, readComment, readNft } from './message.ts'
import type { TableName } from './table.ts'

// Sets, maps and their elements: include/uapi/linux/netfilter/nf_tables.h.
const NFT_MSG_NEWSET = 9
const NFT_MSG_GETSET = 10
const NFT_MSG_DELSET = 11
const NFT_MSG_NEWSETELEM = 12
const NFT_MSG_GETSETELEM = 13
const NFT_MSG_DELSETELEM = 14
const NFT_SET_INTERVAL = 0x4
const NFT_SET_MAP = 0x8
const NFT_SET_CONCAT = 0x80
const NFTA_SET_ELEM_LIST_ELEMENTS = 3
const NFTA_LIST_ELEM = 1
const NFTA_SET_ELEM_KEY = 1
const NFTA_SET_ELEM_DATA = 2
const NFTA_SET_ELEM_FLAGS = 3
const NFTA_SET_ELEM_USERDATA = 6
const NFT_SET_ELEM_INTERVAL_END = 1
const NFTA_DATA_VALUE = 1
const NFT_DATA_VERDICT = 0xffffff00

/**
 * nft's own data types (its src/datatype.h): their numbers make `nft list` print keys as people
 * write them.
 */
const keyTypes = {
  ifname: { number: 41, bytes: 16 },
  ether_addr: { number: 9, bytes: 6 },
  ipv4_addr: { number: 7, bytes: 4 },
  ipv6_addr: { number: 8, bytes: 16 },
  inet_proto: { number: 12, bytes: 1 },
  inet_service: { number: 13, bytes: 2 },
  mark: { number: 19, bytes: 4 },
} as const
export type KeyType = keyof typeof keyTypes

export type SetName = TableName & { readonly set: string }
export type NewSet = SetName & {
  readonly key: readonly KeyType[]
  readonly verdicts: boolean
  /** What a map that has no verdicts leads to. */
  readonly value?: readonly KeyType[]
  /**
   * Its elements are ranges (nft: `flags interval`), of a concatenated key a range in each part:
   * those have an `end`, others an `until`.
   */
  readonly interval?: true
  /** Any number that is not given twice in one batch. */
  readonly id: number
}

/**
 * NFTNL_UDATA_SET_KEYBYTEORDER, NFTNL_UDATA_SET_DATABYTEORDER = 1 (host): without it `nft list`
 * prints interface names as empty, and marks backwards.
 */
const hostByteOrder = (of: 'key' | 'data'): Uint8Array =>
  Uint8Array.of(of === 'key' ? 0 : 1, 4, 1, 0, 0, 0)
const inHostOrder: readonly KeyType[] = ['ifname', 'mark']

function userDataOf({ key, value }: Pick<NewSet, 'key' | 'value'>): readonly Attribute[] {
  const isHost = (types: readonly KeyType[] | undefined): boolean =>
    types?.length === 1 && types.every((type) => inHostOrder.includes(type))
  const parts = [
    ...(isHost(key) ? [hostByteOrder('key')] : []),
    ...(isHost(value) ? [hostByteOrder('data')] : []),
  ]
  return parts.length > 0 ? [attribute(13, concat(parts))] : []
}

/** NFTA_SET_DESC_CONCAT: a list of NFTA_SET_FIELD_LEN, in bytes. */
const fieldsOf = (key: readonly KeyType[]): Attribute =>
  nested(9, [
    nested(
      2,
      key.map((type) => nested(NFTA_LIST_ELEM, [u32be(1, keyTypes[type].bytes)])),
    ),
  ])

/**
 * A hash set, a map, or a verdict map. The parts of a concatenated key are padded to four bytes
 * each, as registers are.
 */
export function newSet({ family, table, set, key, verdicts, value, interval, id }: NewSet): Query {
  const isConcatenated = interval === true && key.length > 1
  const flags =
    (verdicts || value ? NFT_SET_MAP : 0) |
    (interval ? NFT_SET_INTERVAL : 0) |
    (isConcatenated ? NFT_SET_CONCAT : 0)
  return nftQuery(family, { number: NFT_MSG_NEWSET, flags: NLM_F_CREATE | NLM_F_EXCL }, [
    text(1, table),
    text(2, set),
    u32be(3, flags),
    u32be(4, typeNumber(key)),
    u32be(5, typeBytes(key)),
    ...(verdicts ? [u32be(6, NFT_DATA_VERDICT), u32be(7, 0)] : []),
    ...(value ? [u32be(6, typeNumber(value)), u32be(7, typeBytes(value))] : []),
    ...(isConcatenated ? [fieldsOf(key)] : []),
    u32be(10, id),
    ...userDataOf({ key, ...(value ? { value } : {}) }),
  ])
}

const typeNumber = (types: readonly KeyType[]): number =>
  types.reduce((sum, type) => sum * 64 + keyTypes[type].number, 0)

function typeBytes(types: readonly KeyType[]): number {
  const [first] = types
  if (types.length === 1 && first) return keyTypes[first].bytes
  return types.reduce((sum, type) => sum + padded(keyTypes[type].bytes), 0)
}

/** The kernel answers the set, or ENOENT. */
export const getSet = ({ family, table, set }: SetName): Query =>
  nftQuery(family, { number: NFT_MSG_GETSET, flags: 0 }, [text(1, table), text(2, set)])

export type Element = SetName & {
  readonly key: Uint8Array
  /** Of a range: its end, which is not in it, or none if it goes on to the last key. */
  readonly until?: Uint8Array
  /** Of concatenated ranges: the last of each part, padded as the key is. */
  readonly end?: Uint8Array
  readonly verdict?: Verdict
  /** What a map leads to, padded as the key is. */
  readonly value?: Uint8Array
  readonly comment?: string
  /** What another attachment has put under this key is never replaced. */
  readonly isExclusive?: boolean
  /** Who comes later takes it over from who has it; only who has it deletes it. */
  readonly isTakenOver?: boolean
  /** Several attachments have it, all the same: it is no error that it is there already. */
  readonly isShared?: boolean
}

/** The parts of a concatenated key, each padded with zeros to whole registers. */
export const concatenate = (parts: readonly Uint8Array[]): Uint8Array =>
  concat(parts.flatMap((part) => [part, new Uint8Array(padded(part.length) - part.length)]))

const padded = (bytes: number): number => (bytes + 3) & ~3

export const newElement = (element: Element): Query =>
  element.isShared
    ? putElement(element)
    : elementQuery(element, { number: NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE | NLM_F_EXCL })

/** As `newElement`, but one that is there already with the same verdict is no error. */
export const putElement = (element: Element): Query =>
  elementQuery(element, { number: NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE })

export const deleteElement = (element: Element): Query =>
  elementQuery(element, { number: NFT_MSG_DELSETELEM, flags: 0 })

/** All of its elements; the set stays. */
export const flushSet = ({ family, table, set }: SetName): Query =>
  nftQuery(family, { number: NFT_MSG_DELSETELEM, flags: 0 }, [text(1, table), text(2, set)])

export const deleteSet = ({ family, table, set }: SetName): Query =>
  nftQuery(family, { number: NFT_MSG_DELSET, flags: 0 }, [text(1, table), text(2, set)])

/** The kernel answers the element, or ENOENT. */
export const getElement = (element: Element): Query =>
  elementQuery(element, { number: NFT_MSG_GETSETELEM, flags: 0 })

function elementQuery(
  { family, table, set, key, until, verdict, value, comment }: Element,
  message: { readonly number: number; readonly flags: number },
): Query {
  const isNew = message.number === NFT_MSG_NEWSETELEM
  const parts = [nested(NFTA_SET_ELEM_KEY, [attribute(NFTA_DATA_VALUE, key)])]
  if (isNew && verdict !== undefined) parts.push(nested(NFTA_SET_ELEM_DATA, [verdictData(verdict)]))
  if (isNew && value !== undefined)
    parts.push(nested(NFTA_SET_ELEM_DATA, [attribute(NFTA_DATA_VALUE, value)]))
  if (isNew && comment !== undefined) parts.push(commentData(NFTA_SET_ELEM_USERDATA, comment))
  return nftQuery(family, message, [
    text(1, table),
    text(2, set),
    nested(NFTA_SET_ELEM_LIST_ELEMENTS, [
      nested(NFTA_LIST_ELEM, parts),
      ...(until ? [nested(NFTA_LIST_ELEM, endOfRange(until))] : []),
    ]),
  ])
}

/** A range is two elements: its first key, and the first key behind it with this flag. */
const endOfRange = (key: Uint8Array): readonly Attribute[] => [
  nested(NFTA_SET_ELEM_KEY, [attribute(NFTA_DATA_VALUE, key)]),
  u32be(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END),
]

export const dumpElements = ({ family, table, set }: SetName): Query =>
  nftQuery(family, { number: NFT_MSG_GETSETELEM, flags: NLM_F_DUMP }, [
    text(1, table),
    text(2, set),
  ])

export type ObservedElement = {
  readonly set: string
  readonly key: Uint8Array
  readonly comment: string | undefined
  /** Not an element, but the end of the range that begins before it. */
  readonly isEnd?: true
}

/** Body of NFT_MSG_NEWSETELEM as the kernel reports it: a part of the set's elements. */
export function decodeElements(body: Uint8Array): readonly ObservedElement[] {
  const found = readNft(body)
  const set = decodeText(found.get(2) ?? new Uint8Array())
  return readList(found.get(NFTA_SET_ELEM_LIST_ELEMENTS) ?? new Uint8Array()).map(({ payload }) => {
    const parts = readAttributes(payload)
    const key = readAttributes(parts.get(NFTA_SET_ELEM_KEY) ?? new Uint8Array())
    const userData = parts.get(NFTA_SET_ELEM_USERDATA)
    const flags = readU32be(parts.get(NFTA_SET_ELEM_FLAGS) ?? new Uint8Array(4))
    const isEnd = (flags & NFT_SET_ELEM_INTERVAL_END) !== 0
    return {
      set,
      key: key.get(NFTA_DATA_VALUE) ?? new Uint8Array(),
      comment: userData && readComment(userData),
      ...(isEnd ? { isEnd } : {}),
    }
  })
}
