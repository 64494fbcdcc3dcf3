import { concat, decodeText } from '../../base/bytes.ts'
import { attribute, readAttributes, readU32be, text, u32be } from '../netlink/attribute.ts'
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, type Query } from '../netlink/message.ts'
import { type Expression, expression } from './expression.ts'
import { commentData, cutComment, nftQuery, readNft } from './message.ts'
import type { TableName } from './table.ts'

// What tells people of a packet: counters that have names, and messages to who listens.

const NFT_MSG_NEWOBJ = 18
const NFT_MSG_GETOBJ = 19
const NFT_MSG_DELOBJ = 20
const NFT_OBJECT_COUNTER = 1

export type CounterName = TableName & { readonly counter: string }

/** A counter that must not be there yet; it outlives the rules that count on it. */
export const newCounter = ({ family, table, counter }: CounterName, comment?: string): Query =>
  nftQuery(family, { number: NFT_MSG_NEWOBJ, flags: NLM_F_CREATE | NLM_F_EXCL }, [
    text(1, table),
    text(2, counter),
    u32be(3, NFT_OBJECT_COUNTER),
    attribute(4, new Uint8Array()),
    ...(comment === undefined ? [] : [commentData(8, comment)]),
  ])

/** The kernel answers EBUSY while a rule counts on it. */
export const deleteCounter = ({ family, table, counter }: CounterName): Query =>
  nftQuery(family, { number: NFT_MSG_DELOBJ, flags: 0 }, [
    text(1, table),
    text(2, counter),
    u32be(3, NFT_OBJECT_COUNTER),
  ])

export const dumpCounters = ({ family, table }: TableName): Query =>
  nftQuery(family, { number: NFT_MSG_GETOBJ, flags: NLM_F_DUMP }, [
    text(1, table),
    u32be(3, NFT_OBJECT_COUNTER),
  ])

export type ObservedCounter = {
  readonly table: string
  readonly counter: string
  readonly packets: number
  readonly bytes: number
}

/** Body of NFT_MSG_NEWOBJ as the kernel reports a counter. */
export function decodeCounter(body: Uint8Array): ObservedCounter {
  const found = readNft(body)
  const counts = readAttributes(found.get(4) ?? new Uint8Array())
  const number = (payload: Uint8Array | undefined): number =>
    payload ? readU32be(payload) * 2 ** 32 + readU32be(payload.subarray(4)) : 0
  return {
    table: decodeText(found.get(1) ?? new Uint8Array()),
    counter: decodeText(found.get(2) ?? new Uint8Array()),
    packets: number(counts.get(2)),
    bytes: number(counts.get(1)),
  }
}

/** [ objref type 1 name NAME ] */
export const count = (counter: string): Expression =>
  expression('objref', [u32be(1, NFT_OBJECT_COUNTER), text(2, counter)])

/** [ limit rate N/second burst N type packets ]: the rule ends here for what is above. */
export const limit = (perSecond: number, burst: number): Expression =>
  expression('limit', [u64be(1, perSecond), u64be(2, 1), u32be(3, burst), u32be(4, 0)])

const u64be = (type: number, value: number) =>
  attribute(type, concat([new Uint8Array(4), u32be(0, value).subarray(4)]))

/**
 * [ log prefix TEXT group N snaplen N ]: to who listens to the group by nfnetlink_log. A prefix has
 * room for as much as a comment has (NF_LOG_PREFIXLEN).
 */
export const log = (
  prefix: string,
  { group, packetBytes }: { readonly group: number; readonly packetBytes: number },
): Expression =>
  expression('log', [
    attribute(1, Uint8Array.of(group >>> 8, group)),
    text(2, cutComment(prefix)),
    u32be(3, packetBytes),
  ])
