import { decodeText } from '../../base/bytes.ts'
import { type Attributes, readAttributes, readList, readU32be, text } from '../netlink/attribute.ts'
import { NLM_F_DUMP, type Query } from '../netlink/message.ts'
import {
  decodeExpressions,
  decodeVerdict,
  type ListedExpression,
  type ListedVerdict,
  u64be,
} from './listed-expression.ts'
import { nftQuery, readComment, readNft } from './message.ts'
import type { TableName } from './table.ts'

// A whole table as the kernel lists it, everybody's chains, rules and sets in it:
// include/uapi/linux/netfilter/nf_tables.h.

const NFT_MSG_GETCHAIN = 4
const NFT_MSG_GETSET = 10
const NF_DROP = 0

export type ListedTable = {
  readonly chains: readonly ListedChain[]
  /** In order, chain by chain. */
  readonly rules: readonly ListedRule[]
  readonly sets: readonly ListedSet[]
}

export type ListedChain = {
  readonly table: string
  readonly name: string
  /** Absent: packets come here by a jump alone. */
  readonly base?: ListedBase
}

export type ListedBase = {
  /** NF_INET_*: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting. */
  readonly hook: number
  readonly priority: number
  readonly type: string
  readonly policy: 'accept' | 'drop'
}

export type ListedRule = {
  readonly table: string
  readonly chain: string
  readonly handle: bigint
  readonly comment: string | undefined
  readonly expressions: readonly ListedExpression[]
}

export type ListedSet = {
  readonly table: string
  readonly name: string
  readonly flags: SetFlags
  /** nft's numbers of data types, one a part of the key. */
  readonly key: readonly number[]
  readonly keyBytes: number
  /** Of a map: what it leads to. */
  readonly value?: 'verdict' | readonly number[]
  /** Bytes of each part of a key whose parts are ranges; none for other sets. */
  readonly fields: readonly number[]
  readonly elements: readonly ListedElement[]
}

export type SetFlags = {
  readonly isAnonymous: boolean
  readonly isConstant: boolean
  readonly isInterval: boolean
  readonly isMap: boolean
  /** Elements go by themselves, or rules put them in. */
  readonly isTimed: boolean
}

export type ListedElement = {
  /** None: what is in no other element (`*`). */
  readonly key?: Uint8Array
  /** Of a range of concatenated parts: the last key of each. */
  readonly keyEnd?: Uint8Array
  /** Not an element, but the first key behind the range that begins before it. */
  readonly isEnd?: true
  readonly verdict?: ListedVerdict
  readonly value?: Uint8Array
  readonly comment?: string
}

/** Every chain of a family, of all its tables: the kernel knows no narrower question. */
export const dumpChains = ({ family }: TableName): Query =>
  nftQuery(family, { number: NFT_MSG_GETCHAIN, flags: NLM_F_DUMP }, [])

/** Every set of a table, the anonymous ones of its rules too. */
export const dumpSets = ({ family, table }: TableName): Query =>
  nftQuery(family, { number: NFT_MSG_GETSET, flags: NLM_F_DUMP }, [text(1, table)])

/** Body of NFT_MSG_NEWCHAIN. */
export function decodeListedChain(body: Uint8Array): ListedChain {
  const found = readNft(body)
  const hook = found.get(4)
  const head = { table: textIn(found, 1), name: textIn(found, 3) }
  if (!hook) return head
  const place = readAttributes(hook)
  return {
    ...head,
    base: {
      hook: numberIn(place, 1),
      priority: numberIn(place, 2) | 0,
      type: textIn(found, 7),
      policy: found.has(5) && numberIn(found, 5) === NF_DROP ? 'drop' : 'accept',
    },
  }
}

/** Body of NFT_MSG_NEWRULE. */
export function decodeListedRule(body: Uint8Array): ListedRule {
  const found = readNft(body)
  const userData = found.get(7)
  return {
    table: textIn(found, 1),
    chain: textIn(found, 2),
    handle: u64be(found.get(3)),
    comment: userData && readComment(userData),
    expressions: decodeExpressions(found.get(4) ?? empty),
  }
}

const NFT_SET_ANONYMOUS = 0x1
const NFT_SET_CONSTANT = 0x2
const NFT_SET_INTERVAL = 0x4
const NFT_SET_MAP = 0x8
const NFT_SET_TIMEOUT = 0x10
const NFT_SET_EVAL = 0x20
const NFT_DATA_VERDICT = 0xffffff00
const NFTA_SET_DESC_CONCAT = 2

/** Body of NFT_MSG_NEWSET: the set, and none of its elements. */
export function decodeListedSet(body: Uint8Array): ListedSet {
  const found = readNft(body)
  const flags = numberIn(found, 3)
  const isMap = (flags & NFT_SET_MAP) !== 0
  const valueType = numberIn(found, 6)
  const parts = readAttributes(found.get(9) ?? empty).get(NFTA_SET_DESC_CONCAT)
  return {
    table: textIn(found, 1),
    name: textIn(found, 2),
    flags: {
      isAnonymous: (flags & NFT_SET_ANONYMOUS) !== 0,
      isConstant: (flags & NFT_SET_CONSTANT) !== 0,
      isInterval: (flags & NFT_SET_INTERVAL) !== 0,
      isMap,
      isTimed: (flags & (NFT_SET_TIMEOUT | NFT_SET_EVAL)) !== 0,
    },
    key: partsOf(numberIn(found, 4)),
    keyBytes: numberIn(found, 5),
    ...(isMap ? { value: valueType === NFT_DATA_VERDICT ? 'verdict' : partsOf(valueType) } : {}),
    fields: readList(parts ?? empty).map(({ payload }) => numberIn(readAttributes(payload), 1)),
    elements: [],
  }
}

/** Concatenated types are six bits each, the last one lowest (nft's src/datatype.h). */
function partsOf(type: number): readonly number[] {
  const parts: number[] = []
  for (let left = type; left > 0; left = Math.floor(left / 64)) parts.unshift(left % 64)
  return parts
}

const NFT_SET_ELEM_INTERVAL_END = 0x1
const NFT_SET_ELEM_CATCHALL = 0x2

/** Body of NFT_MSG_NEWSETELEM: a part of a set's elements. */
export const decodeListedElements = (body: Uint8Array): readonly ListedElement[] =>
  readList(readNft(body).get(3) ?? empty).map(({ payload }) => {
    const found = readAttributes(payload)
    const flags = numberIn(found, 3)
    const data = readAttributes(found.get(2) ?? empty)
    const [value, verdict] = [data.get(1), data.get(2)]
    const keyEnd = readAttributes(found.get(10) ?? empty).get(1)
    const userData = found.get(6)
    const comment = userData && readComment(userData)
    return {
      ...((flags & NFT_SET_ELEM_CATCHALL) !== 0 ? {} : { key: dataIn(found, 1) }),
      ...(keyEnd ? { keyEnd } : {}),
      ...((flags & NFT_SET_ELEM_INTERVAL_END) !== 0 ? { isEnd: true as const } : {}),
      ...(verdict ? { verdict: decodeVerdict(verdict) } : {}),
      ...(value ? { value } : {}),
      ...(comment === undefined ? {} : { comment }),
    }
  })

const empty = new Uint8Array()
const textIn = (found: Attributes, type: number): string => decodeText(found.get(type) ?? empty)
const numberIn = (found: Attributes, type: number): number => {
  const payload = found.get(type)
  return payload ? readU32be(payload) : 0
}
const dataIn = (found: Attributes, type: number): Uint8Array =>
  readAttributes(found.get(type) ?? empty).get(1) ?? empty
