import { putU16, toHex } from '../../base/bytes.ts'
import { type Attribute, nested, readAttributes, readList, text } from '../netlink/attribute.ts'
import { NLM_F_CREATE, NLM_F_EXCL, type Query } from '../netlink/message.ts'
import { verdictData } from './expression.ts'
import { nftQuery, readNft } from './message.ts'
import type { Element, SetName } from './set.ts'

// Thousands of elements, many in one message: include/uapi/linux/netfilter/nf_tables.h.
const NFT_MSG_NEWSETELEM = 12
const NFT_MSG_DELSETELEM = 14
const NFTA_SET_ELEM_LIST_ELEMENTS = 3
const NFTA_LIST_ELEM = 1
const NFTA_SET_ELEM_KEY = 1
const NFTA_SET_ELEM_DATA = 2
const NFTA_SET_ELEM_KEY_END = 10
const NFTA_DATA_VALUE = 1
const NFTA_DATA_VERDICT = 2
const NLA_F_NESTED = 0x8000

/** What of an element matters to a packet: no comment, and no range of a single part. */
export type PlainElement = Pick<Element, 'key' | 'end' | 'verdict' | 'value'>

/** A list is one attribute, whose length has 16 bits. */
const listBytesMax = 60_000

/** Refused (EEXIST) if one of them is there already. */
export const newElements = (name: SetName, elements: readonly PlainElement[]): readonly Query[] =>
  inMessages(
    name,
    { number: NFT_MSG_NEWSETELEM, flags: NLM_F_CREATE | NLM_F_EXCL },
    elements.map((element) => listed(element, dataOf(element))),
  )

/** Refused (ENOENT) if one of them is not there. */
export const deleteElements = (
  name: SetName,
  elements: readonly PlainElement[],
): readonly Query[] =>
  inMessages(
    name,
    { number: NFT_MSG_DELSETELEM, flags: 0 },
    elements.map((element) => listed(element, none)),
  )

const none = new Uint8Array(0)

function inMessages(
  { family, table, set }: SetName,
  message: { readonly number: number; readonly flags: number },
  elements: readonly Attribute[],
): readonly Query[] {
  const queries: Query[] = []
  for (let from = 0, to = 0; from < elements.length; from = to) {
    let bytes = 0
    while (to < elements.length && bytes + (elements[to]?.length ?? 0) <= listBytesMax)
      bytes += elements[to++]?.length ?? 0
    const list = nested(NFTA_SET_ELEM_LIST_ELEMENTS, elements.slice(from, to))
    queries.push(nftQuery(family, message, [text(1, table), text(2, set), list]))
  }
  return queries
}

/** NFTA_LIST_ELEM with key, end and data; written in one go, as there are so many. */
function listed({ key, end }: PlainElement, data: Attribute): Attribute {
  const keyBytes = 8 + padded(key.length)
  const endBytes = end ? 8 + padded(end.length) : 0
  const bytes = new Uint8Array(4 + keyBytes + endBytes + data.length)
  head(bytes, 0, NFTA_LIST_ELEM | NLA_F_NESTED, bytes.length)
  value(bytes, 4, NFTA_SET_ELEM_KEY, key)
  if (end) value(bytes, 4 + keyBytes, NFTA_SET_ELEM_KEY_END, end)
  bytes.set(data, 4 + keyBytes + endBytes)
  return bytes
}

const padded = (bytes: number): number => (bytes + 3) & ~3

function head(bytes: Uint8Array, at: number, type: number, length: number): void {
  putU16(bytes, at, length)
  putU16(bytes, at + 2, type)
}

function value(bytes: Uint8Array, at: number, type: number, content: Uint8Array): void {
  head(bytes, at, type | NLA_F_NESTED, 8 + padded(content.length))
  head(bytes, at + 4, NFTA_DATA_VALUE, 4 + content.length)
  bytes.set(content, at + 8)
}

function dataOf({ verdict, value: content }: PlainElement): Attribute {
  if (verdict !== undefined) return nested(NFTA_SET_ELEM_DATA, [verdictData(verdict)])
  if (content === undefined) return none
  const bytes = new Uint8Array(8 + padded(content.length))
  value(bytes, 0, NFTA_SET_ELEM_DATA, content)
  return bytes
}

/** The same text for the same element, as it was sent and as the kernel lists it. */
export const textOfElement = ({ key, end, verdict, value: content }: PlainElement): string =>
  printed(key, end, verdict === undefined ? content : verdictData(verdict).subarray(4))

/** Body of NFT_MSG_NEWSETELEM as the kernel lists it, in `textOfElement`'s words. */
export function decodeElementTexts(body: Uint8Array): readonly string[] {
  const list = readNft(body).get(NFTA_SET_ELEM_LIST_ELEMENTS)
  return readList(list ?? none).map(({ payload }) => {
    const parts = readAttributes(payload)
    const data = readAttributes(parts.get(NFTA_SET_ELEM_DATA) ?? none)
    const key = readAttributes(parts.get(NFTA_SET_ELEM_KEY) ?? none).get(NFTA_DATA_VALUE) ?? none
    const end = readAttributes(parts.get(NFTA_SET_ELEM_KEY_END) ?? none).get(NFTA_DATA_VALUE)
    return printed(key, end, data.get(NFTA_DATA_VALUE) ?? data.get(NFTA_DATA_VERDICT))
  })
}

const printed = (key: Uint8Array, end?: Uint8Array, data?: Uint8Array): string =>
  [toHex(key), end ? `-${toHex(end)}` : '', data ? ` : ${toHex(data)}` : ''].join('')
