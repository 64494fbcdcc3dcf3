import { closeSync, openSync } from 'node:fs'
import { type Address, formatAddress, offsetAddress, parseAddress } from '../base/address.ts'
import { annotationOf, ipsAnnotation } from '../cni/annotations.ts'
import type { RangeConfig } from '../cni/config.ts'
import { code, fault } from '../cni/fault.ts'
import { isAtLeast } from '../cni/version.ts'
import { parseAlias } from '../datapath/mark.ts'
import { allocate, explainLeaseFault, type Leased, type LeaseFault } from '../ipam/allocate.ts'
import { isInRange, parseRanges, poolName, type Range, type RangeSet } from '../ipam/ranges.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { bootMilliseconds, lifeStamp } from '../store/boot.ts'
import { LOCK_EX } from '../store/database.ts'
import { directoryStamp, type HostLocalLease, isFresh, readHostLocal } from '../store/host-local.ts'
import type { Held, LeaseStore } from '../store/lease-store.ts'
import { type Call, dataDirOf } from './context.ts'

/**
 * The configured range sets: the runtime's (capability ipRanges) first, then the inline range, then
 * `ranges`.
 */
export function rangeSetsOf({ config }: Call): readonly RangeSet[] {
  const { ipam = {}, runtimeConfig, cniVersion } = config
  const { subnet, rangeStart, rangeEnd, gateway } = ipam
  const given: Partial<RangeConfig> = { rangeStart, rangeEnd, gateway } as Partial<RangeConfig>
  const inline = subnet ? [[{ ...given, subnet }]] : []
  const fromRuntime = (runtimeConfig?.ipRanges ?? []).filter((set) => set.length > 0)
  const all = [...fromRuntime, ...inline, ...(ipam.ranges ?? [])]
  const pathOf = (set: number, range: number): string => {
    const listed = set - fromRuntime.length - inline.length
    if (set < fromRuntime.length) return `runtimeConfig.ipRanges[${set}][${range}]`
    return listed < 0 ? 'ipam' : `ipam.ranges[${listed}][${range}]`
  }
  if (all.length === 0)
    throw fault(
      code.invalidConfig,
      'no ranges for host-local',
      'ipam has neither ranges nor subnet, and the runtime sent no ipRanges; give one, such as ' +
        '"ranges": [[{"subnet": "10.244.1.0/24"}]]',
    )
  const parsed = parseRanges(all, pathOf)
  if ('fault' in parsed)
    throw fault(
      code.invalidConfig,
      'invalid network configuration',
      `${parsed.fault.path} is ${parsed.fault.found}; accepted: ${parsed.fault.accepted}`,
    )
  const families = parsed.sets.map((set) => set[0]?.subnet.address.family)
  if (!isAtLeast(cniVersion, '0.3.0') && new Set(families).size < families.length)
    throw fault(
      code.invalidConfig,
      'too many range sets',
      `CNI ${cniVersion} carries one address a family; use cniVersion 0.3.0 or newer for more`,
    )
  const reserves = config.mode === 'bridge' && (config.isGateway || config.isDefaultGateway)
  return reserves ? parsed.sets.map((set) => set.map(withGateway)) : parsed.sets
}

/** A bridge that is a gateway takes the subnet's first address where the range names none. */
const withGateway = (range: Range): Range => ({
  ...range,
  gateway: range.gateway ?? offsetAddress(range.subnet.address, 1n),
})

/**
 * Addresses that the runtime asks for: CNI_ARGS IP, args.cni.ips and the capability `ips`, all of
 * them; the pod's annotation where the capability asks for none.
 */
function requestedAddresses({ environment, config }: Call): readonly Address[] {
  const ofRuntime = config.runtimeConfig?.ips ?? []
  const texts = [
    ...(environment.args.get('IP') ?? '').split(','),
    ...(config.args?.cni?.ips ?? []),
    ...ofRuntime,
  ].filter((text) => text !== '')
  const annotated = ofRuntime.length > 0 ? undefined : annotationOf(config, ipsAnnotation)
  const addresses = [
    ...texts.map((text) => requestedAddress(text, 'the request')),
    ...(annotated?.split(',') ?? []).map((text) =>
      requestedAddress(text.trim(), `annotation ${ipsAnnotation}`),
    ),
  ]
  return [...new Map(addresses.map((address) => [formatAddress(address), address])).values()]
}

function requestedAddress(text: string, source: string): Address {
  const address = parseAddress(text.replace(/\/\d+$/, ''))
  if (address) return address
  throw fault(
    code.invalidConfig,
    'invalid requested address',
    `${JSON.stringify(text)} is no IP address (${source})`,
  )
}

/**
 * Leases one address of each range set, in the store's transaction; nothing is written if that
 * can't be.
 */
export function leaseAddresses(call: Call, store: LeaseStore): readonly Leased[] {
  const sets = rangeSetsOf(call)
  const outcome = allocate(sets, requestedAddresses(call), store.book(call.id.network))
  if ('fault' in outcome) throw leaseFault(outcome.fault)
  store.hold(call.id, outcome.leases)
  store.setCursors(call.id.network, outcome.cursors)
  return outcome.leases
}

function leaseFault(lease: LeaseFault): Error {
  const number = lease.kind === 'pool-full' ? code.poolFull : code.addressUnavailable
  const message =
    lease.kind === 'pool-full' ? 'no free address' : 'requested address is not available'
  return fault(number, message, explainLeaseFault(lease))
}

/** Whether an ADD without wishes would get its addresses now. */
export function poolFaultOf(call: Call, store: LeaseStore | undefined): string | undefined {
  const empty = {
    holderOf: () => undefined,
    cursorOf: () => undefined,
    oldestReleased: () => undefined,
  }
  const outcome = allocate(rangeSetsOf(call), [], store?.book(call.id.network) ?? empty)
  return 'fault' in outcome ? explainLeaseFault(outcome.fault) : undefined
}

/** host-local's own directory of this network, and the lock that it takes. */
export function hostLocalFolder({ config, id }: Call): string {
  const { ipam } = config
  return `${ipam?.dataDir ? dataDirOf(config) : '/var/lib/cni/networks'}/${id.network}`
}

/**
 * Takes over leases that are not in the book: those of a host-local directory that changed since it
 * was last read, and, for a store that was lost, those that the kernel still shows on our links.
 */
export function adoptLeases(call: Call, store: LeaseStore, host: RouteSocket): void {
  const adopter = { store, network: call.id.network, sets: rangeSetsOf(call) }
  const recovered = `recovered ${call.id.network}`
  if (store.meta(recovered) === undefined) {
    for (const { alias } of host.links()) {
      const marked = parseAlias(alias)
      if (marked?.network !== call.id.network) continue
      const addresses = marked.addresses.flatMap((text) => parseAddress(text) ?? [])
      for (const lease of freeAmong(adopter, addresses)) store.hold(marked, [lease])
    }
    store.setMeta(recovered, 'yes')
  }
  const folder = hostLocalFolder(call)
  const stamp = directoryStamp(folder)
  const key = `adopted ${folder}`
  if (stamp === undefined || store.meta(key) === stamp) return
  const unlock = lockHostLocal(call, folder)
  try {
    const there = readHostLocal(folder, bootMilliseconds())
    dropVanished(call, store, there)
    for (const { address, container, ifname } of there)
      for (const lease of freeAmong(adopter, [address]))
        store.adopt({ network: call.id.network, container, ifname }, lease)
    store.setMeta(key, isFresh(folder) ? 'changing' : (directoryStamp(folder) ?? stamp))
  } finally {
    unlock()
  }
}

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

/** What host-local has deleted itself since it was adopted is free. */
function dropVanished(call: Call, store: LeaseStore, there: readonly HostLocalLease[]): void {
  const kept = new Set(there.map(({ address }) => formatAddress(address)))
  const { network } = call.id
  for (const address of store.adopted(network))
    if (!kept.has(formatAddress(address))) store.releaseAddress(network, address)
}

/** host-local holds this lock while it works; without the file it never has. */
function lockHostLocal({ native }: Call, folder: string): () => void {
  let fd: number
  try {
    fd = openSync(`${folder}/lock`, 'r')
  } catch {
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

/**
 * After a boot nothing of the store is alive any more: all of it is given back in the transaction
 * of the first ADD.
 */
export function startLife(store: LeaseStore, host: RouteSocket): void {
  const stamp = lifeStamp(host.netnsCookie())
  const known = store.meta('life')
  if (known === stamp) return
  if (known !== undefined) store.releaseAll()
  store.setMeta('life', stamp)
}
