import { existsSync } from 'node:fs'
import { parseAddress } from '../../base/address.ts'
import type { Attachment } from '../../datapath/attachment.ts'
import { closingElements, verdictsOf } from '../../datapath/closed.ts'
import { policyTable } from '../../datapath/policy-table.ts'
import { FilterSocket } from '../../kernel/filter-socket.ts'
import { foreignMarks } from '../../kernel/foreign-marks.ts'
import { type Desk, requiredText } from '../command.ts'
import { withStore } from '../leases.ts'

/** What there is to know of policies without the agent. */
export type PolicyFacts = {
  /** `inet tulle-policy` is there. */
  readonly hasTable: boolean
  /** Pods on record that policies hold for. */
  readonly policed: number
  /** Of those: the kernel does not know that policies hold for them. */
  readonly unguarded: readonly string[]
  /** Of those: the kernel knows them, and no verdict: nothing passes. */
  readonly closed: readonly string[]
  /** Families of those that are on a bridge. */
  readonly bridged: readonly (4 | 6)[]
  /** Chains of others whose rules set bits of the ct mark that are ours: "ip mangle FORWARD". */
  readonly markedBy: readonly string[]
}

export function lookAtPolicy(desk: Desk): PolicyFacts {
  const attachments = policedOf(desk)
  const filter = new FilterSocket(desk.loadNative())
  try {
    const lacking = (one: Attachment, elements: typeof closingElements): boolean =>
      filter.missingElements({ elements: elements(one) }).length > 0
    const isUnguarded = (one: Attachment): boolean => lacking(one, closingElements)
    const isClosed = (one: Attachment): boolean =>
      !isUnguarded(one) && lacking(one, (given) => verdictsOf(closingElements(given)))
    const hasTable = filter.rules(policyTable).length > 0
    const isInUse = hasTable || attachments.length > 0
    return {
      hasTable,
      policed: attachments.length,
      unguarded: attachments.filter(isUnguarded).map(podOf),
      closed: attachments.filter(isClosed).map(podOf),
      bridged: familiesOf(attachments.filter(({ mode }) => mode === 'bridge')),
      markedBy: isInUse ? foreignMarks(desk.loadNative()) : [],
    }
  } finally {
    filter.close()
  }
}

function policedOf(desk: Desk): readonly Attachment[] {
  const dataDir = requiredText(desk, 'data-dir', 'DIR')
  if (!existsSync(`${dataDir}/tulle.db`)) return []
  return withStore(desk, (store) => store.attachments().filter(({ isPoliced }) => isPoliced))
}

/** "shop/api-0", or what a runtime without Kubernetes knows. */
const podOf = ({ pod, container }: Attachment): string =>
  pod ? `${pod.namespace}/${pod.name}` : container

const familiesOf = (attachments: readonly Attachment[]): readonly (4 | 6)[] => {
  const all = attachments.flatMap(({ ips }) => ips.map(({ address }) => parseAddress(address)))
  return ([4, 6] as const).filter((family) => all.some((one) => one?.family === family))
}
