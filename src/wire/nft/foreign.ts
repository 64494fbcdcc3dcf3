import { concat, decodeText, encodeText, Writer } from '../../base/bytes.ts'
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
import { NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, type Query } from '../netlink/message.ts'
import { type Expression, expression } from './expression.ts'
import { type AnyFamily, commentData, nftQuery, readComment, readNft } from './message.ts'
import type { Rule } from './table.ts'

// Chains that somebody else made, with iptables-nft or nft, and single rules of ours in them. Rules
// are written as iptables-nft writes them, so that `iptables -S` and `iptables-save` go on listing
// the chain. Numbers: include/uapi/linux/netfilter/nf_tables.h, nf_tables_compat.h.

const NFT_MSG_GETCHAIN = 4
const NFT_MSG_NEWRULE = 6
const NFT_MSG_GETRULE = 7
const NFT_MSG_DELRULE = 8
const NF_DROP = 0
const NF_ACCEPT = 1
const NFT_RETURN = -5
const NFT_JUMP = -3
const NFT_GOTO = -4

const u64be = (type: number, value: bigint): Attribute =>
  attribute(
    type,
    new Writer()
      .u32be(Number(value >> 32n))
      .u32be(Number(value & 0xffff_ffffn))
      .done(),
  )

export type ForeignChain = {
  readonly family: AnyFamily
  readonly table: string
  readonly chain: string
}

/** The kernel answers the chain, or ENOENT. */
export const getForeignChain = ({ family, table, chain }: ForeignChain): Query =>
  nftQuery(family, { number: NFT_MSG_GETCHAIN, flags: 0 }, [text(1, table), text(3, chain)])

/** What becomes of a packet that no rule decides on; undefined for a chain that has no hook. */
export function decodePolicy(body: Uint8Array): 'accept' | 'drop' | undefined {
  const policy = readNft(body).get(5)
  if (policy === undefined) return undefined
  return readU32be(policy) === NF_DROP ? 'drop' : 'accept'
}

/** The rules of one chain alone. */
export const dumpChain = ({ family, table, chain }: ForeignChain): Query =>
  nftQuery(family, { number: NFT_MSG_GETRULE, flags: NLM_F_DUMP }, [text(1, table), text(2, chain)])

/** Puts the rule before the one with this handle, or behind the last. */
export const newForeignRule = (
  { family, table, chain }: ForeignChain,
  { comment, expressions }: Rule,
  before: bigint | undefined,
): Query =>
  nftQuery(
    family,
    {
      number: NFT_MSG_NEWRULE,
      flags: NLM_F_CREATE | (before === undefined ? NLM_F_APPEND : 0),
    },
    [
      text(1, table),
      text(2, chain),
      nested(4, expressions),
      ...(before === undefined ? [] : [u64be(6, before)]),
      commentData(7, comment),
    ],
  )

/** The kernel answers ENOENT for a rule that is gone; handles are never given twice. */
export const deleteForeignRule = ({ family, table, chain }: ForeignChain, handle: bigint): Query =>
  nftQuery(family, { number: NFT_MSG_DELRULE, flags: 0 }, [
    text(1, table),
    text(2, chain),
    u64be(3, handle),
  ])

/** What a rule does to every packet that comes to it; `depends` if only to some. */
export type Effect =
  | 'depends'
  | 'nothing'
  | 'accept'
  | 'drop'
  | 'return'
  | { readonly jump: string }
  | { readonly goto: string }

export type ForeignRule = {
  readonly handle: bigint
  readonly comment: string | undefined
  readonly effect: Effect
}

/** Body of NFT_MSG_NEWRULE as the kernel lists it. */
export function decodeForeignRule(body: Uint8Array): ForeignRule {
  const found = readNft(body)
  const handle = found.get(3)
  const userData = found.get(7)
  const parts = readList(found.get(4) ?? new Uint8Array()).map(({ payload }) => partOf(payload))
  return {
    handle: handle ? new DataView(handle.buffer, handle.byteOffset).getBigUint64(0) : 0n,
    comment: (userData && readComment(userData)) ?? parts.map(commentMatch).find((it) => it),
    effect: effectOf(parts),
  }
}

type Part = { readonly name: string; readonly data: ReadonlyMap<number, Uint8Array> }

function partOf(payload: Uint8Array): Part {
  const found = readAttributes(payload)
  const name = found.get(1)
  return { name: name ? decodeText(name) : '', data: readAttributes(found.get(2) ?? empty) }
}
const empty = new Uint8Array()
const nameIn = ({ data }: Part): string => decodeText(data.get(1) ?? empty)

/** iptables keeps a comment as a match that always matches, where nft has user data. */
function commentMatch(part: Part): string | undefined {
  if (part.name !== 'match' || nameIn(part) !== 'comment') return undefined
  const bytes = part.data.get(3) ?? empty
  const end = bytes.indexOf(0)
  return decodeText(end < 0 ? bytes : bytes.subarray(0, end))
}

function effectOf(parts: readonly Part[]): Effect {
  let effect: Effect = 'nothing'
  for (const part of parts) {
    const own = ownEffect(part)
    if (own === 'depends') return 'depends'
    if (own !== 'nothing') effect = own
  }
  return effect
}

/** Targets of iptables that let the packet go on. */
const passing = ['LOG', 'NFLOG', 'TRACE', 'MARK', 'CONNMARK', 'CLASSIFY', 'TCPMSS', 'DSCP']

function ownEffect(part: Part): Effect {
  const { name } = part
  if (name === 'counter' || name === 'log') return 'nothing'
  if (name === 'reject') return 'drop'
  if (name === 'immediate') return verdictOf(part)
  if (name === 'match') return nameIn(part) === 'comment' ? 'nothing' : 'depends'
  if (name !== 'target') return 'depends'
  if (nameIn(part) === 'REJECT') return 'drop'
  return passing.includes(nameIn(part)) ? 'nothing' : 'depends'
}

function verdictOf({ data }: Part): Effect {
  const verdict = readAttributes(data.get(2) ?? empty).get(2)
  if (verdict === undefined) return 'nothing'
  const parts = readAttributes(verdict)
  const code = readU32be(parts.get(1) ?? new Uint8Array(4)) | 0
  const chain = decodeText(parts.get(2) ?? empty)
  if (code === NFT_JUMP) return { jump: chain }
  if (code === NFT_GOTO) return { goto: chain }
  if (code === NF_ACCEPT) return 'accept'
  if (code === NFT_RETURN) return 'return'
  return code === NF_DROP ? 'drop' : 'depends'
}

/** [ counter pkts 0 bytes 0 ], as every rule of iptables has it. */
export const counter = (): Expression => expression('counter', [])

/** Names as iptables compares them: with the NUL, or as a beginning without it. */
export const linkNameBytes = ({ name, isPrefix }: LinkPattern): Uint8Array =>
  isPrefix ? encodeText(name) : concat([encodeText(name), Uint8Array.of(0)])
export type LinkPattern = { readonly name: string; readonly isPrefix: boolean }

const XT_CONNTRACK_STATE = 1
const connectionStates = { established: 0x02, related: 0x04, dnat: 0x80 } as const

/**
 * [ match name conntrack rev 3 ]: `-m conntrack --ctstate …`, struct xt_conntrack_mtinfo3 of
 * linux/netfilter/xt_conntrack.h. nft's own `ct` is not used: iptables can't list a chain with it.
 */
export function connectionState(states: readonly (keyof typeof connectionStates)[]): Expression {
  const addresses = new Uint8Array(8 * 16) // four addresses with their masks
  const info = new Writer().bytes(addresses)
  info.u32(0).u32(0) // expires_min, expires_max
  for (let port = 0; port < 5; port++) info.u16(0) // l4proto and four ports
  info.u16(XT_CONNTRACK_STATE).u16(0) // match_flags, invert_flags
  info.u16(states.reduce((sum, state) => sum | connectionStates[state], 0)).u16(0)
  for (let port = 0; port < 4; port++) info.u16(0) // upper ends of port ranges
  const aligned = 168 // XT_ALIGN of 162
  const bytes = concat([info.done(), new Uint8Array(aligned)]).subarray(0, aligned)
  return expression('match', [text(1, 'conntrack'), u32be(2, 3), attribute(3, bytes)])
}

/** For a chain's name in words: "ip filter FORWARD". */
export const printForeign = ({ family, table, chain }: ForeignChain): string =>
  `${family} ${table} ${chain}`
