import { type AttachmentId, nameOf } from '../datapath/attachment.ts'
import { gateOfShared } from '../datapath/extras.ts'
import { identityOf } from '../datapath/identity.ts'
import { parseAlias } from '../datapath/mark.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { cutComment } from '../wire/nft/message.ts'
import { type Call, withExistingStore } from './context.ts'
import { delegate } from './delegate.ts'
import { dropIdleBridge, dropKernelState, releaseAddresses } from './detach.ts'
import { removeExtras } from './extras.ts'
import { dropOwnLink } from './host.ts'
import { idleIfbs } from './ifbs.ts'
import { dropIdleOverlay, dropLostOverlay } from './overlay.ts'
import { collectAcceptRules } from './parts/acceptance.ts'
import { dropIdlePolicies, dropOrphans } from './policy.ts'
import { validAttachments } from './valid.ts'

/**
 * Collects what is left of this network's attachments that the runtime does not list: records,
 * addresses, links, elements. Goes on after a fault and reports at the end (specification, "GC").
 */
export function gc(call: Call): void {
  const valid = validAttachments(call)
  const faults: unknown[] = []
  const attempt = (work: () => void): void => {
    try {
      work()
    } catch (refusal) {
      faults.push(refusal)
    }
  }
  const host = new RouteSocket(call.native, -1, 'the host')
  const filter = new FilterSocket(call.native)
  const links = new Set(valid.map((id) => identityOf(id).link))
  const there = host.links()
  const idle = there
    .filter(({ alias, name }) => parseAlias(alias)?.network === call.id.network && !links.has(name))
    .map(({ name }) => name)
  attempt(() => host.deleteLinks([...idle, ...idleIfbs(there, call.id.network, valid)]))
  attempt(() => collectRecords(call, { host, filter, valid, attempt }))
  attempt(() => collectOverlay(call, filter))
  attempt(() => collectElements(call, { host, filter, valid }))
  attempt(() => void withExistingStore(call, (store) => collectAcceptRules(call, store, host)))
  attempt(() => dropIdleBridge(call, host))
  attempt(() => void delegate(call, 'GC'))
  if (faults.length === 1) throw faults[0]
  if (faults.length > 1)
    throw new AggregateError(faults, `Cannot collect everything of network ${call.id.network}`)
}

function collectOverlay(call: Call, filter: FilterSocket): void {
  const answered = withExistingStore(call, (store) => {
    dropIdleOverlay(call, store, filter)
    return true
  })
  if (!answered) dropLostOverlay(call, filter)
}

type Collecting = {
  readonly host: RouteSocket
  readonly filter: FilterSocket
  readonly valid: readonly AttachmentId[]
  readonly attempt: (work: () => void) => void
}

function collectRecords(call: Call, { host, filter, valid, attempt }: Collecting): void {
  const names = new Set(valid.map(nameOf))
  const containers = new Set(valid.map(({ container }) => container))
  const doomed: string[] = []
  withExistingStore(call, (store) => {
    const removing = { store, host, filter, doomed }
    for (const attachment of store.attachments(call.id.network))
      if (!names.has(nameOf(attachment)))
        attempt(() => {
          dropOwnLink(host, attachment)
          dropKernelState(call, attachment, { store, host, filter })
          releaseAddresses(call, store, attachment)
        })
    for (const extras of store.extras.all(call.id.network))
      if (!names.has(nameOf(extras)))
        attempt(() => removeExtras(call, removing, { id: extras, plugin: extras.plugin }))
    // Adopted leases of old host-local files have no interface name: their container's word counts.
    for (const id of store.holders(call.id.network))
      if (!names.has(nameOf(id)) && !(id.ifname === '' && containers.has(id.container)))
        releaseAddresses(call, store, id)
  })
  attempt(() => host.deleteLinks(doomed))
}

/**
 * Elements of attachments that no record tells of: a store was lost, or a process killed at a bad
 * moment. Comments of long names are cut, so it is cut comments that are compared.
 */
function collectElements(call: Call, { host, filter, valid }: Omit<Collecting, 'attempt'>): void {
  const comments = new Set(valid.map((id) => cutComment(nameOf(id))))
  const orphans = filter.findElements(
    (comment) =>
      isGateGone(host, comment) ||
      (comment.startsWith(`${call.id.network}/`) && !comments.has(comment)),
  )
  dropOrphans(call, filter, orphans)
  if (orphans.length > 0) filter.dropUnusedChains()
  const isIdle = withExistingStore(call, (store) => store.isEmpty()) ?? true
  if (isIdle) filter.dropEmptyTables()
  dropIdlePolicies(call, filter)
}

/** What pods share goes with the last of them; after a lost store, when their bridge is gone. */
function isGateGone(host: RouteSocket, comment: string): boolean {
  const gate = gateOfShared(comment)
  return gate !== undefined && host.link({ name: gate }) === undefined
}
