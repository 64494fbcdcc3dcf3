import { basename } from 'node:path/posix'
import { type Address, formatAddress, offsetAddress, parseAddress } from '../base/address.ts'
import { annotationOf, ipsAnnotation } from '../cni/annotations.ts'
import { code, fault } from '../cni/fault.ts'
import type { RangeConfig } from '../cni/network-config.ts'
import { isAtLeast } from '../cni/version.ts'
import { allocate, explainLeaseFault, type Leased, type LeaseFault } from '../ipam/allocate.ts'
import { parseRanges, type Range, type RangeSet } from '../ipam/ranges.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { lifeStamp } from '../store/boot.ts'
import { unlinkHostLocal } from '../store/host-local.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import type { Call } from './context.ts'

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

/**
 * After a boot nothing of the store is alive any more: all of it is given back in the transaction
 * of the first ADD.
 */
export function startLife(store: LeaseStore, host: RouteSocket): void {
  const stamp = lifeStamp(host.netnsCookie())
  const known = store.meta('life')
  if (known === stamp) return
  if (known !== undefined) {
    // Files older than the boot are told by their time; within one boot, only we know ours.
    if (isSameBoot(known, stamp)) dropFiles(store)
    store.releaseAll()
  }
  store.setMeta('life', stamp)
}

const isSameBoot = (known: string, stamp: string): boolean =>
  known.split(' ')[0] === stamp.split(' ')[0]

/** The files of our own leases, in the directories that we share with host-local. */
function dropFiles(store: LeaseStore): void {
  for (const folder of store.metaKeys('adopted ').map((key) => key.slice('adopted '.length)))
    for (const { address, container, isAdopted } of store.held(basename(folder)))
      if (!isAdopted) unlinkHostLocal(folder, address, container)
}
