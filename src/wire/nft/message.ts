import { concat, decodeText, encodeText, ShapeError } from '../../base/bytes.ts'
import {
  type Attribute,
  attribute,
  readAttributes,
  readU32be,
  u32be,
} from '../netlink/attribute.ts'
import { NLM_F_ACK, NLM_F_REQUEST, type Query } from '../netlink/message.ts'

// include/uapi/linux/netfilter.h: the families that Tulle has tables in.
export type NftFamily = 'inet' | 'bridge'
/** And those in which other people have theirs. */
export type AnyFamily = NftFamily | 'ip' | 'ip6'
const familyNumber: Readonly<Record<AnyFamily, number>> = { inet: 1, ip: 2, bridge: 7, ip6: 10 }

const NFNL_SUBSYS_NFTABLES = 10
const NFNL_MSG_BATCH_BEGIN = 0x10
const NFNL_MSG_BATCH_END = 0x11
const NFNL_BATCH_GENID = 1
const NFT_MSG_NEWGEN = 15
const NFT_MSG_GETGEN = 16
const NFTA_GEN_ID = 1

/**
 * One nf_tables message: struct nfgenmsg { u8 family, u8 version, be16 res_id }
 * (linux/netfilter/nfnetlink.h), then attributes.
 */
export function nftQuery(
  family: AnyFamily,
  message: { readonly number: number; readonly flags: number },
  attributes: readonly Attribute[],
): Query {
  const head = Uint8Array.of(familyNumber[family], 0, 0, 0)
  return {
    type: (NFNL_SUBSYS_NFTABLES << 8) | message.number,
    flags: NLM_F_REQUEST | message.flags,
    body: concat([head, ...attributes]),
  }
}

/**
 * Wraps changes into one atomic batch; only the last change asks for an acknowledgement, refusals
 * come unasked. With a `generation` the kernel refuses the batch (ERESTART) if the ruleset has
 * changed since that was read.
 */
export function nftBatch(changes: readonly Query[], generation?: number): readonly Query[] {
  const head = Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES)
  const begin =
    generation === undefined ? head : concat([head, u32be(NFNL_BATCH_GENID, generation)])
  const last = changes.length - 1
  return [
    { type: NFNL_MSG_BATCH_BEGIN, flags: NLM_F_REQUEST, body: begin },
    ...changes.map((change, at) =>
      at === last ? { ...change, flags: change.flags | NLM_F_ACK } : change,
    ),
    { type: NFNL_MSG_BATCH_END, flags: NLM_F_REQUEST, body: head },
  ]
}

/** Asks for the number of the ruleset that is in force. */
export const getGeneration = (): Query => nftQuery('inet', { number: NFT_MSG_GETGEN, flags: 0 }, [])

export function decodeGeneration(query: Query): number | undefined {
  if (query.type !== ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN)) return undefined
  const generation = readNft(query.body).get(NFTA_GEN_ID)
  return generation && readU32be(generation)
}

const nfgenmsgBytes = 4
/** Attributes behind the nfgenmsg of an answer. */
export function readNft(body: Uint8Array): ReadonlyMap<number, Uint8Array> {
  if (body.length < nfgenmsgBytes) throw new ShapeError(`Cannot read ${body.length} bytes as nft`)
  return readAttributes(body.subarray(nfgenmsgBytes))
}

const commentBytesMax = 127
const udataComment = 0 // NFTNL_UDATA_RULE_COMMENT and NFTNL_UDATA_SET_ELEM_COMMENT of libnftnl

/** A comment as the kernel will show it again: nft's limit is 128 bytes with the NUL. */
export const cutComment = (comment: string): string =>
  decodeText(encodeText(comment).subarray(0, commentBytesMax))

/** User data that `nft list` shows as a comment: type, length with the NUL, text. */
export function commentData(type: number, comment: string): Attribute {
  const bytes = encodeText(comment).subarray(0, commentBytesMax)
  return attribute(
    type,
    concat([Uint8Array.of(udataComment, bytes.length + 1), bytes, Uint8Array.of(0)]),
  )
}

export function readComment(payload: Uint8Array): string | undefined {
  if (payload.length < 3 || payload[0] !== udataComment) return undefined
  const length = payload[1] ?? 0
  return decodeText(payload.subarray(2, 2 + length - 1))
}
