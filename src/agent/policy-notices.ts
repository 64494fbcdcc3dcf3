import { type Address, addressFromBytes } from '../base/address.ts'
import { decodeText, Reader } from '../base/bytes.ts'
import { nodePortTable } from '../datapath/node-port-guard.ts'
import { currentChain, policyTable } from '../datapath/policy-table.ts'
import { readAttributes } from '../wire/netlink/attribute.ts'
import { decodeElements } from '../wire/nft/set.ts'

// linux/netfilter/nf_tables.h, in the low byte of the message's type
const NFT_MSG_DELRULE = 8
const NFT_MSG_NEWSETELEM = 12
const NFT_MSG_DELSETELEM = 14
const NFT_MSG_NEWGEN = 15
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE */
const tableAttribute = 1
const NFTA_SET_ELEM_LIST_SET = 2
const NFTA_RULE_CHAIN = 2

/** Sets whose keys begin with the address of a pod of this node. */
const ofPods = /^(policed|egress|ingress|itself)([46])$/

/** What somebody else did to tables of ours. */
export type PolicyNotice =
  /** To entries of these pods, as an ADD or a DEL does. */
  | { readonly kind: 'pods'; readonly addresses: readonly Address[] }
  /** An ADD wants each connection judged anew: its address was another pod's. */
  | { readonly kind: 'generation' }
  /** To what nobody but the agent has to touch. */
  | { readonly kind: 'policies' }
  | { readonly kind: 'node-ports' }

/** Undefined for what is none of ours. */
export function policyNoticeOf(type: number, body: Uint8Array): PolicyNotice | undefined {
  const number = type & 0xff
  if (number === NFT_MSG_NEWGEN) return undefined
  const reader = new Reader(body)
  reader.u32() // struct nfgenmsg
  const found = readAttributes(reader.rest())
  const textOf = (attribute: number): string => decodeText(found.get(attribute) ?? new Uint8Array())
  const table = textOf(tableAttribute)
  if (table === nodePortTable.table) return { kind: 'node-ports' }
  if (table !== policyTable.table) return undefined
  const isOfElements = number === NFT_MSG_NEWSETELEM || number === NFT_MSG_DELSETELEM
  if (isOfElements) return ofElements(textOf(NFTA_SET_ELEM_LIST_SET), body)
  const isFlush = number === NFT_MSG_DELRULE && textOf(NFTA_RULE_CHAIN) === currentChain
  return { kind: isFlush ? 'generation' : 'policies' }
}

function ofElements(set: string, body: Uint8Array): PolicyNotice {
  const family = ofPods.exec(set)?.[2]
  if (family === undefined) return { kind: 'policies' }
  const bytes = family === '4' ? 4 : 16
  const addresses = decodeElements(body).flatMap(
    ({ key }) => addressFromBytes(key.subarray(0, bytes)) ?? [],
  )
  return { kind: 'pods', addresses }
}
