import { type Attachment, type AttachmentId, nameOf } from '../datapath/attachment.ts'
import { identityOf } from '../datapath/identity.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { unlinkHostLocal } from '../store/host-local.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import { cutComment } from '../wire/nft/message.ts'
import { type Call, withExistingStore } from './context.ts'
import { dropBridge } from './host.ts'
import { hostLocalFolder } from './lease.ts'

type Kernel = { readonly host: RouteSocket; readonly filter: FilterSocket }

const openKernel = ({ native }: Call): Kernel => ({
  host: new RouteSocket(native, -1, 'the host'),
  filter: new FilterSocket(native),
})

/**
 * Takes an attachment away; what is not there is not missed. The link goes down first, so that no
 * packet passes when its guard goes, and is deleted last: deleting waits a grace period in the
 * kernel, and so does closing a netfilter socket after elements were deleted, but not twice if one
 * overlaps the other. Killed anywhere, the next DEL finds the rest by the link's name, GC by its
 * alias.
 */
export function detach(call: Call): void {
  const kernel = openKernel(call)
  const { link } = identityOf(call.id)
  const wasLinked = kernel.host.setDown(link)
  const isKnown = withExistingStore(call, (store) => {
    const attachment = store.attachment(call.id)
    if (attachment) dropKernelState(attachment, store, kernel)
    releaseAddresses(call, store, call.id)
    return attachment !== undefined
  })
  if (!wasLinked) return
  kernel.host.deleteLink(link)
  if (!isKnown) dropUnrecorded(call.id, kernel.filter)
}

/** Undo of an ADD whose link is gone already, or never was. */
export function forgetAttachment(call: Call, attachment: Attachment): void {
  const kernel = openKernel(call)
  withExistingStore(call, (store) => {
    dropKernelState(store.attachment(attachment) ?? attachment, store, kernel)
    releaseAddresses(call, store, attachment)
  })
}

/**
 * The attachment's elements, its bridge if it was the last port, the tables if they are empty.
 * Under the store's lock: an ADD writes its record before it touches the kernel, so who is not in
 * the store needs neither bridge nor table.
 */
export function dropKernelState(attachment: Attachment, store: LeaseStore, kernel: Kernel): void {
  const { host, filter } = kernel
  filter.detach(attachment)
  const bridge = attachment.bridge?.name
  if (bridge !== undefined && !store.isBridgeShared(attachment, bridge)) {
    host.deleteLink(attachment.link)
    dropBridge(host, bridge)
  }
  if (!store.hasOthers(attachment)) filter.dropEmptyTables()
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
function dropUnrecorded(id: AttachmentId, filter: FilterSocket): void {
  const name = cutComment(nameOf(id))
  filter.deleteElements(filter.findElements((comment) => comment === name))
  filter.dropUnusedChains()
  filter.dropEmptyTables()
}
