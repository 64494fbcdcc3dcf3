import { type Attachment, type AttachmentId, nameOf } from '../datapath/attachment.ts'
import { holdingOf } from '../datapath/holding.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { unlinkHostLocal } from '../store/host-local.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import { cutComment } from '../wire/nft/message.ts'
import { type Call, isHostLocal, withExistingStore } from './context.ts'
import { bridgeNameOf } from './describe.ts'
import { removeExtras } from './extras.ts'
import { dropBridge, dropOwnLink, ownLink } from './host.ts'
import { dropUnadopted, hostLocalFolder, sharesDirectory } from './host-local.ts'
import { ifbsThere } from './ifbs.ts'
import { dropIdleOverlay, dropLostOverlay } from './overlay.ts'
import type { Pausing } from './pausing.ts'
import { dropIdlePolicies, dropOrphans, leavePolicies } from './policy.ts'
import { removeLinks } from './remove-links.ts'

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
export function* detach(call: Call): Pausing<void> {
  const kernel = openKernel(call)
  const { host } = kernel
  const link = ownLink(host, call.id)
  if (link !== undefined) host.setDown(link)
  const doomed: string[] = []
  const isKnown = withExistingStore(call, (store) => {
    const attachment = store.attachment(call.id)
    removeExtras(call, { ...kernel, store, doomed })
    if (attachment) dropKernelState(call, attachment, { ...kernel, store })
    releaseAddresses(call, store, call.id)
    dropIdleOverlay(call, store, kernel.filter)
    return attachment !== undefined
  })
  if (isKnown === undefined) dropLostOverlay(call, kernel.filter)
  if (!isKnown && isHostLocal(call.config.ipam)) dropUnadopted(call)
  const ifbs = isKnown ? doomed : ifbsThere(host, call.id)
  yield* removeLinks(call, host, link === undefined ? ifbs : [...ifbs, link])
  if (link !== undefined && !isKnown) dropUnrecorded(call, kernel)
}

/** Undo of an ADD whose link is gone already, or never was. */
export function forgetAttachment(call: Call): void {
  const kernel = openKernel(call)
  const doomed: string[] = []
  withExistingStore(call, (store) => {
    const attachment = store.attachment(call.id)
    removeExtras(call, { ...kernel, store, doomed })
    if (attachment) dropKernelState(call, attachment, { ...kernel, store })
    releaseAddresses(call, store, call.id)
    dropIdleOverlay(call, store, kernel.filter)
  })
  kernel.host.deleteLinks(doomed)
  if (isHostLocal(call.config.ipam) && sharesDirectory(call)) dropUnadopted(call)
}

/**
 * The attachment's elements, its bridge if it was the last port, the tables if they are empty.
 * Under the store's lock: an ADD writes its record before it touches the kernel, so who is not in
 * the store needs neither bridge nor table.
 */
export function dropKernelState(
  call: Call,
  attachment: Attachment,
  { host, filter, store }: Kernel & { readonly store: LeaseStore },
): void {
  leavePolicies(call, attachment, { store, filter })
  filter.detach(holdingOf(attachment))
  if (attachment.isPoliced) dropIdlePolicies(call, filter)
  const bridge = attachment.bridge?.name
  if (bridge !== undefined && !store.isBridgeShared(attachment, bridge)) {
    dropOwnLink(host, attachment)
    dropBridge(host, bridge)
  }
  if (!store.hasOthers(attachment)) filter.dropEmptyTables()
}

export function releaseAddresses(call: Call, store: LeaseStore, id: AttachmentId): void {
  const folder = hostLocalFolder(call)
  const held = store.heldBy(id)
  if (store.meta(`adopted ${folder}`) !== undefined)
    for (const address of held) unlinkHostLocal(folder, address, id.container)
  store.release(id)
}

/** DEL's share of it: also of a pod that the reference made, and that no ADD of ours has seen. */
export function releaseOwn(call: Call): void {
  const isKnown = withExistingStore(call, (store) => {
    const held = store.heldBy(call.id)
    releaseAddresses(call, store, call.id)
    return held.length > 0
  })
  if (!isKnown) dropUnadopted(call)
}

/**
 * A link of ours that no record tells of (the store was lost): its elements are known by their
 * comment.
 */
function dropUnrecorded(call: Call, { host, filter }: Kernel): void {
  const name = cutComment(nameOf(call.id))
  dropOrphans(
    call,
    filter,
    filter.findElements((comment) => comment === name),
  )
  filter.dropUnusedChains()
  dropIdleBridge(call, host)
  filter.dropEmptyTables()
  dropIdlePolicies(call, filter)
}

/** The configured bridge, if no record needs it: for attachments of which no record tells. */
export function dropIdleBridge(call: Call, host: RouteSocket): void {
  const { config, id } = call
  if (config.mode !== 'bridge') return
  const name = bridgeNameOf(config)
  const drop = (isShared: boolean): void => {
    if (!isShared) dropBridge(host, name)
  }
  const answered = withExistingStore(call, (store) => {
    drop(store.isBridgeShared(id, name))
    return true
  })
  if (!answered) drop(false)
}
