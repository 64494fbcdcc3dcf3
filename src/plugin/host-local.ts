import { closeSync, openSync } from 'node:fs'
import { type Address, formatAddress, parseAddress } from '../base/address.ts'
import { code, fault } from '../cni/fault.ts'
import { parseAlias } from '../datapath/mark.ts'
import type { Leased } from '../ipam/allocate.ts'
import { isInRange, poolName, type RangeSet } from '../ipam/ranges.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { bootMilliseconds } from '../store/boot.ts'
import { LOCK_EX, makeFolder } from '../store/database.ts'
import {
  directoryStamp,
  type HostLocalLease,
  isFresh,
  listHostLocal,
  readHostLocal,
  readHostLocalLease,
  unlinkHostLocal,
  writeHostLocal,
} from '../store/host-local.ts'
import type { Held, LeaseStore } from '../store/lease-store.ts'
import { type Call, dataDirOf } from './context.ts'
import { leaseAddresses, rangeSetsOf } from './lease.ts'

// The directory of reference host-local: its leases are taken over, and under the names of the
// reference plugins ours are written there too, so that both can lease from one pool at once.

/** host-local's own directory of this network, and the lock that it takes. */
export function hostLocalFolder({ config, id }: Call): string {
  const { ipam } = config
  return `${ipam?.dataDir ? dataDirOf(config) : '/var/lib/cni/networks'}/${id.network}`
}

/** Under the reference's names the directory is shared with it: each sees the other's leases. */
export const sharesDirectory = ({ plugin }: Call): boolean => plugin !== 'tulle'

export type Leasing = {
  readonly store: LeaseStore
  readonly host: RouteSocket
  /** Throws if this attachment must not lease: asked once all that is leased is known. */
  readonly refuse: () => void
}

/** One address of each range set, which neither the store nor host-local has given away. */
export function leaseBeside(call: Call, { store, host, refuse }: Leasing): readonly Leased[] {
  if (!sharesDirectory(call)) {
    adoptLeases(call, store, host)
    refuse()
    return leaseAddresses(call, store)
  }
  const folder = hostLocalFolder(call)
  recoverLeases(call, store, host)
  makeFolder(folder)
  const unlock = lockHostLocal(call, folder, 'a')
  try {
    if (store.meta(`adopted ${folder}`) !== directoryStamp(folder)) adoptFolder(call, store, folder)
    refuse()
    const leases = leaseAddresses(call, store)
    writeLeases(call, folder, leases)
    store.setMeta(`adopted ${folder}`, 'changing')
    return leases
  } finally {
    unlock()
  }
}

function writeLeases({ id }: Call, folder: string, leases: readonly Leased[]): void {
  try {
    for (const { address } of leases) writeHostLocal(folder, { ...id, address })
  } catch (refusal) {
    for (const { address } of leases) unlinkHostLocal(folder, address)
    throw refusal
  }
}

/**
 * Takes over leases that are not in the book: those of a host-local directory that changed since it
 * was last read, and, for a store that was lost, those that the kernel still shows on our links.
 */
export function adoptLeases(call: Call, store: LeaseStore, host: RouteSocket): void {
  recoverLeases(call, store, host)
  const folder = hostLocalFolder(call)
  const stamp = directoryStamp(folder)
  if (stamp === undefined || store.meta(`adopted ${folder}`) === stamp) return
  const unlock = lockHostLocal(call, folder, 'r')
  try {
    adoptFolder(call, store, folder)
    store.setMeta(
      `adopted ${folder}`,
      isFresh(folder) ? 'changing' : (directoryStamp(folder) ?? stamp),
    )
  } finally {
    unlock()
  }
}

const adopterOf = (call: Call, store: LeaseStore): Adopter => ({
  store,
  network: call.id.network,
  sets: rangeSetsOf(call),
})

function recoverLeases(call: Call, store: LeaseStore, host: RouteSocket): void {
  const recovered = `recovered ${call.id.network}`
  if (store.meta(recovered) !== undefined) return
  for (const { alias } of host.links()) {
    const marked = parseAlias(alias)
    if (marked?.network !== call.id.network) continue
    const addresses = marked.addresses.flatMap((text) => parseAddress(text) ?? [])
    for (const lease of freeAmong(adopterOf(call, store), addresses)) store.hold(marked, [lease])
  }
  store.setMeta(recovered, 'yes')
}

/** Files of our own leases are not read: among thousands, that is what takes the time. */
function adoptFolder(call: Call, store: LeaseStore, folder: string): void {
  const { network } = call.id
  const adopter = adopterOf(call, store)
  const held = store.held(network)
  const own = new Set(
    held.filter(({ isAdopted }) => !isAdopted).map(({ address }) => formatAddress(address)),
  )
  const since = bootMilliseconds()
  const there = listHostLocal(folder)
    .filter((name) => !own.has(name))
    .flatMap((name) => readHostLocalLease({ folder, name, since }) ?? [])
  const kept = new Set(there.map(leaseText))
  // What host-local has deleted itself since it was adopted is free, or another's by now.
  for (const lease of held)
    if (lease.isAdopted && !kept.has(leaseText(lease))) store.releaseAddress(network, lease.address)
  for (const { address, container, ifname } of there)
    for (const lease of freeAmong(adopter, [address]))
      store.adopt({ network, container, ifname }, lease)
}

const leaseText = ({ address, container, ifname }: HostLocalLease): string =>
  `${formatAddress(address)} ${container} ${ifname}`

type Adopter = {
  readonly store: LeaseStore
  readonly network: string
  readonly sets: readonly RangeSet[]
}

/** Those addresses that nobody holds, each with the pool that it belongs to. */
function freeAmong({ store, network, sets }: Adopter, addresses: readonly Address[]): Held[] {
  const book = store.book(network)
  return addresses.flatMap((address) => {
    const range = sets.flat().find((candidate) => isInRange(candidate, address))
    const pool = range ? poolName(range) : 'adopted'
    const holder = book.holderOf(address, pool)
    return holder === undefined || holder === 'released' ? [{ address, pool }] : []
  })
}

/** What host-local's directory says that the attachment holds, whoever wrote it there. */
export function filesOf(call: Call): readonly HostLocalLease[] {
  const folder = hostLocalFolder(call)
  if (directoryStamp(folder) === undefined) return []
  const { container, ifname } = call.id
  return readHostLocal(folder, 0).filter(
    (lease) => lease.container === container && ['', ifname].includes(lease.ifname),
  )
}

/** As DEL of host-local: for a pod that the reference made, and that no ADD of ours has seen. */
export function dropUnadopted(call: Call): void {
  const folder = hostLocalFolder(call)
  if (directoryStamp(folder) === undefined) return
  const unlock = lockHostLocal(call, folder, 'r')
  try {
    for (const { address } of filesOf(call)) unlinkHostLocal(folder, address)
  } finally {
    unlock()
  }
}

/** host-local holds this lock while it works; without the file it never has. */
function lockHostLocal({ native }: Call, folder: string, flags: 'r' | 'a'): () => void {
  let fd: number
  try {
    fd = openSync(`${folder}/lock`, flags, 0o600)
  } catch (refusal) {
    if (flags === 'a') throw refusal
    return () => undefined
  }
  if (native.lock(fd, LOCK_EX, hostLocalWaitMilliseconds) === 0) return () => closeSync(fd)
  closeSync(fd)
  throw fault(
    code.tryAgainLater,
    "host-local's lock is held",
    `${folder}/lock was not free within ${hostLocalWaitMilliseconds / 1000} s; try again`,
  )
}
const hostLocalWaitMilliseconds = 10_000
