import { type Attachment, type AttachmentId, nameOf } from '../datapath/attachment.ts'
import { identityOf } from '../datapath/identity.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { unlinkHostLocal } from '../store/host-local.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import { type Call, withExistingStore } from './context.ts'
import { bridgeLeftBy, dropBridge } from './host.ts'
import { hostLocalFolder } from './lease.ts'

/**
 * Takes an attachment away, in the order in which a process may be killed at any point and the next
 * try still finds the rest: the link, then the elements, then the record and its addresses. Nothing
 * there is nothing to do.
 */
export function detach(call: Call): void {
  const host = new RouteSocket(call.native, -1, 'the host')
  const wasLinked = host.deleteLink(identityOf(call.id).link)
  const isKnown = withExistingStore(call, (store) => {
    const attachment = store.attachment(call.id)
    if (attachment) dropKernelState(call, { attachment, store, host })
    releaseAddresses(call, store, call.id)
    return attachment !== undefined
  })
  if (wasLinked && !isKnown) dropUnrecorded(call)
}

/** Undo of an ADD whose link is gone already, or never was. */
export function forgetAttachment(call: Call, attachment: Attachment): void {
  const host = new RouteSocket(call.native, -1, 'the host')
  withExistingStore(call, (store) => {
    dropKernelState(call, { attachment: store.attachment(attachment) ?? attachment, store, host })
    releaseAddresses(call, store, attachment)
  })
}

type Doomed = {
  readonly attachment: Attachment
  readonly store: LeaseStore
  readonly host: RouteSocket
}

/**
 * The attachment's elements, its bridge if it was the last port, the tables if they are empty.
 * Under the store's lock: an ADD writes its record before it touches the kernel, so who is not in
 * the store needs neither bridge nor table.
 */
export function dropKernelState(call: Call, { attachment, store, host }: Doomed): void {
  const filter = new FilterSocket(call.native)
  filter.detach(attachment)
  const others = store.attachments().filter((other) => nameOf(other) !== nameOf(attachment))
  const bridge = bridgeLeftBy(attachment, others)
  if (bridge !== undefined) dropBridge(host, bridge)
  if (others.length === 0) filter.dropEmptyTables()
  filter.close()
}

export function releaseAddresses(call: Call, store: LeaseStore, id: AttachmentId): void {
  const folder = hostLocalFolder(call)
  if (store.meta(`adopted ${folder}`) !== undefined)
    for (const address of store.heldBy(id)) unlinkHostLocal(folder, address)
  store.release(id)
}

/**
 * A link of ours that no record tells of (the store was lost): its elements are known by their
 * comment.
 */
function dropUnrecorded(call: Call): void {
  const filter = new FilterSocket(call.native)
  const name = nameOf(call.id)
  filter.deleteElements(filter.findElements((comment) => comment === name))
  filter.dropUnusedChains()
  filter.dropEmptyTables()
  filter.close()
}
