import { decodeText, Writer } from '../../base/bytes.ts'
import { type Attribute, attribute, nested, readU32be, text, u32be } from '../netlink/attribute.ts'
import {
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  type Query,
} from '../netlink/message.ts'
import type { Expression } from './expression.ts'
import { commentData, type NftFamily, nftQuery, readComment, readNft } from './message.ts'

// Tables, chains and rules: include/uapi/linux/netfilter/nf_tables.h.
const NFT_MSG_NEWTABLE = 0
const NFT_MSG_GETTABLE = 1
const NFT_MSG_DELTABLE = 2
const NFT_MSG_NEWCHAIN = 3
const NFT_MSG_GETCHAIN = 4
const NFT_MSG_DELCHAIN = 5
const NFTA_CHAIN_USE = 6
const NFT_MSG_NEWRULE = 6
const NFT_MSG_GETRULE = 7
const NFT_MSG_DELRULE = 8

export type TableName = { readonly family: NftFamily; readonly table: string }
export type ChainName = TableName & { readonly chain: string }

/** Hook numbers are NF_INET_* of linux/netfilter.h, the same as NF_BR_* where Tulle hooks. */
const hooks = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const

export type BaseChain = ChainName & {
  readonly type: 'filter' | 'nat'
  readonly hook: keyof typeof hooks
  readonly priority: number
}

/** A table that must not be there yet: whoever is first makes it whole. */
export const newTable = ({ family, table }: TableName): Query =>
  nftQuery(family, { number: NFT_MSG_NEWTABLE, flags: NLM_F_CREATE | NLM_F_EXCL }, [text(1, table)])

/** As `newTable`, but one that is there already is no error. */
export const ensureTable = ({ family, table }: TableName): Query =>
  nftQuery(family, { number: NFT_MSG_NEWTABLE, flags: NLM_F_CREATE }, [text(1, table)])

/** The kernel answers the table, or ENOENT. */
export const getTable = ({ family, table }: TableName): Query =>
  nftQuery(family, { number: NFT_MSG_GETTABLE, flags: 0 }, [text(1, table)])

export const deleteTable = ({ family, table }: TableName): Query =>
  nftQuery(family, { number: NFT_MSG_DELTABLE, flags: 0 }, [text(1, table)])

/** A chain that must not be there yet; with a hook if it is a base chain. Policy: accept. */
export const newChain = (chain: ChainName | BaseChain): Query =>
  nftQuery(chain.family, { number: NFT_MSG_NEWCHAIN, flags: NLM_F_CREATE | NLM_F_EXCL }, [
    text(1, chain.table),
    text(3, chain.chain),
    ...('hook' in chain ? hookOf(chain) : []),
  ])

const hookOf = ({ hook, priority, type }: BaseChain): readonly Attribute[] => [
  nested(4, [u32be(1, hooks[hook]), attribute(2, new Writer().u32be(priority).done())]),
  text(7, type),
]

/** The kernel answers the chain, or ENOENT. */
export const getChain = (chain: ChainName): Query =>
  nftQuery(chain.family, { number: NFT_MSG_GETCHAIN, flags: 0 }, [
    text(1, chain.table),
    text(3, chain.chain),
  ])

/** How many rules are in a chain, and rules and elements jump to it, together (NFTA_CHAIN_USE). */
export function decodeChainUses(body: Uint8Array): number {
  const uses = readNft(body).get(NFTA_CHAIN_USE)
  return uses ? readU32be(uses) : 0
}

/** The kernel answers EBUSY while a rule or a map's element still jumps here. */
export const deleteChain = (chain: ChainName): Query =>
  nftQuery(chain.family, { number: NFT_MSG_DELCHAIN, flags: 0 }, [
    text(1, chain.table),
    text(3, chain.chain),
  ])

export const flushChain = (chain: ChainName): Query =>
  nftQuery(chain.family, { number: NFT_MSG_DELRULE, flags: 0 }, [
    text(1, chain.table),
    text(2, chain.chain),
  ])

export type Rule = { readonly comment: string; readonly expressions: readonly Expression[] }

/** Appends a rule; its comment is shown by `nft list` and is what CHECK knows it by. */
export const newRule = (chain: ChainName, { comment, expressions }: Rule): Query =>
  nftQuery(chain.family, { number: NFT_MSG_NEWRULE, flags: NLM_F_CREATE | NLM_F_APPEND }, [
    text(1, chain.table),
    text(2, chain.chain),
    nested(4, expressions),
    commentData(7, comment),
  ])

/** Of a whole table, or of one chain. */
export const dumpRules = (from: TableName | ChainName): Query =>
  nftQuery(from.family, { number: NFT_MSG_GETRULE, flags: NLM_F_DUMP }, [
    text(1, from.table),
    ...('chain' in from ? [text(2, from.chain)] : []),
  ])

export type ObservedRule = {
  readonly table: string
  readonly chain: string
  readonly comment: string | undefined
}

/** Body of NFT_MSG_NEWRULE as the kernel reports it. */
export function decodeRule(body: Uint8Array): ObservedRule {
  const found = readNft(body)
  const userData = found.get(7)
  return {
    table: decodeText(found.get(1) ?? new Uint8Array()),
    chain: decodeText(found.get(2) ?? new Uint8Array()),
    comment: userData && readComment(userData),
  }
}
