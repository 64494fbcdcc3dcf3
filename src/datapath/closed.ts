import type { Query } from '../wire/netlink/message.ts'
import { deleteElement, type Element } from '../wire/nft/set.ts'
import { flushChain } from '../wire/nft/table.ts'
import type { Attachment } from './attachment.ts'
import { currentChain, policedElements, policedSets, policyTable } from './policy-table.ts'

// A pod that policies hold for is closed from before there is a way to it, until the agent has put
// the verdicts of its addresses.

/** What closes the pod; of an address that two have for a while (P44), the later one's. */
export const closingElements = (attachment: Attachment): readonly Element[] =>
  attachment.isPoliced
    ? policedElements(attachment).map((element) => ({ ...element, isTakenOver: true }))
    : []

export const isClosing = ({ table, set }: Element): boolean =>
  table === policyTable.table && policedSets.includes(set)

/** The verdicts that addresses have which these elements close: both are there, or it is closed. */
export const verdictsOf = (elements: readonly Element[]): readonly Element[] =>
  elements.filter(isClosing).flatMap(({ set, key }) =>
    ['egress', 'ingress'].map((side) => ({
      ...policyTable,
      set: set.replace('policed', side),
      key,
    })),
  )

/**
 * Takes out verdicts that the agent has not, so that the next pod of these addresses inherits
 * nothing: nor connections that conntrack still knows as allowed. Those are told by the generation,
 * so no packet passes by that until the agent begins another one, as it does itself for an address
 * that goes; till then each is judged, and passes if it is allowed.
 */
export const forgetQueries = (verdicts: readonly Element[]): readonly Query[] =>
  verdicts.length === 0
    ? []
    : [...verdicts.map(deleteElement), flushChain({ ...policyTable, chain: currentChain })]
