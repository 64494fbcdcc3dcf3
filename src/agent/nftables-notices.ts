import { decodeText, Reader } from '../base/bytes.ts'
import { clusterSets } from '../datapath/cluster.ts'
import { inetTable } from '../datapath/ruleset.ts'
import { readAttributes } from '../wire/netlink/attribute.ts'

// linux/netfilter/nf_tables.h, in the low byte of the message's type
const NFT_MSG_DELTABLE = 2
const NFT_MSG_DELCHAIN = 5
const NFT_MSG_DELRULE = 8
const NFT_MSG_DELSET = 11
const NFT_MSG_DELSETELEM = 14
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE */
const tableAttribute = 1
const NFTA_SET_ELEM_LIST_SET = 2

/** Whether somebody took a part of ours that is not one pod's alone. */
export function isLossOfOurs(type: number, body: Uint8Array): boolean {
  switch (type & 0xff) {
    case NFT_MSG_DELTABLE:
    case NFT_MSG_DELCHAIN:
    case NFT_MSG_DELRULE:
    case NFT_MSG_DELSET:
      return textOf(body, tableAttribute) === inetTable.table
    case NFT_MSG_DELSETELEM:
      return (
        textOf(body, tableAttribute) === inetTable.table &&
        clusterSets.some(({ set }) => set === textOf(body, NFTA_SET_ELEM_LIST_SET))
      )
    default:
      return false
  }
}

/** struct nfgenmsg (4 bytes), attributes. */
function textOf(body: Uint8Array, attribute: number): string | undefined {
  const reader = new Reader(body)
  reader.u32()
  const found = readAttributes(reader.rest()).get(attribute)
  return found && decodeText(found)
}
