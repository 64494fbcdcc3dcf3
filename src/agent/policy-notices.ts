import { type Address, addressFromBytes } from '../base/address.ts'
import { decodeText, Reader } from '../base/bytes.ts'
import { policyTable } from '../datapath/policy-table.ts'
import { readAttributes } from '../wire/netlink/attribute.ts'
import { decodeElements } from '../wire/nft/set.ts'

// linux/netfilter/nf_tables.h, in the low byte of the message's type
const NFT_MSG_NEWSETELEM = 12
const NFT_MSG_DELSETELEM = 14
const NFT_MSG_NEWGEN = 15
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE */
const tableAttribute = 1
const NFTA_SET_ELEM_LIST_SET = 2

/** Sets whose keys begin with the address of a pod of this node. */
const ofPods = /^(policed|egress|ingress|itself)([46])$/

/**
 * What somebody else did to a table of ours: to entries of these pods, as an ADD or a DEL does, or
 * to what nobody but the agent has to touch.
 */
export type PolicyNotice =
  | { readonly kind: 'pods'; readonly addresses: readonly Address[] }
  | { readonly kind: 'table' }

/** Undefined for what is none of ours. */
export function policyNoticeOf(
  type: number,
  body: Uint8Array,
  tables: readonly string[] = [policyTable.table],
): PolicyNotice | undefined {
  const number = type & 0xff
  if (number === NFT_MSG_NEWGEN) return undefined
  const reader = new Reader(body)
  reader.u32() // struct nfgenmsg
  const found = readAttributes(reader.rest())
  const table = found.get(tableAttribute)
  const name = table && decodeText(table)
  if (name === undefined || !tables.includes(name)) return undefined
  const isOfElements = number === NFT_MSG_NEWSETELEM || number === NFT_MSG_DELSETELEM
  const set = decodeText(found.get(NFTA_SET_ELEM_LIST_SET) ?? new Uint8Array())
  const [, , family] = (isOfElements && name === policyTable.table && ofPods.exec(set)) || []
  if (family === undefined) return { kind: 'table' }
  const bytes = family === '4' ? 4 : 16
  const addresses = decodeElements(body).flatMap(
    ({ key }) => addressFromBytes(key.subarray(0, bytes)) ?? [],
  )
  return { kind: 'pods', addresses }
}
