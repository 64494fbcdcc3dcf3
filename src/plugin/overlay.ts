import { formatPrefix, type Prefix, parsePrefix } from '../base/prefix.ts'
import { code, fault } from '../cni/fault.ts'
import { clusterDifference, setCluster } from '../kernel/cluster-set.ts'
import { describe } from '../kernel/fabric-entries.ts'
import { FabricSocket } from '../kernel/fabric-socket.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { devicesOf } from '../overlay/device.ts'
import { changesBetween } from '../overlay/difference.ts'
import type { FabricEntry } from '../overlay/fabric.ts'
import { weavePeer } from '../overlay/peer.ts'
import { Weave } from '../overlay/weave.ts'
import { allHoldings } from '../store/holdings.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import { type Call, withExistingStore, withStore } from './context.ts'
import { type Overlay, readOverlay, withRanges } from './overlay-config.ts'

// The way to other nodes where no agent keeps it: ADD makes it right, the last DEL takes it away.

/** The call with its overlay read, and its ranges from there; as it was where none is asked for. */
export function withOverlay(call: Call): Call {
  const asked = call.plugin === 'tulle' ? call.config.overlay : undefined
  if (!asked) return call
  const overlay = withFabric(call, (fabric) => readOverlay(asked, fabric.view()))
  return { ...call, overlay, config: withRanges(call.config, overlay) }
}

/** Who told what is inside the cluster. */
const ownerOf = ({ id }: Call): string => `network ${id.network}`

/** In the transaction of the lease: whoever dies later leaves a name to clean up by. */
export function recordOverlay(call: Call, store: LeaseStore): void {
  if (call.overlay) store.cluster.put(ownerOf(call), call.overlay.cluster.map(formatPrefix))
}

/**
 * Devices, entries and the cluster's set as wanted; under the store's lock, so that nobody takes
 * them away meanwhile. Where all is so already it is a few questions to the kernel.
 */
export function ensureOverlay(call: Call, overlay: Overlay, store: LeaseStore): void {
  const { options, self } = overlay
  const { wanted, problems } = wovenOf(overlay)
  for (const problem of problems) call.note(problem)
  withFabric(call, (fabric) => {
    const devices = devicesOf(self, options)
    for (const change of fabric.ensureDevices(devices)) call.note(change)
    const { entries } = fabric.observe(devices)
    const refusals = fabric.apply(changesBetween(wanted, entries)).map(({ text }) => text)
    if (refusals.length > 0)
      throw fault(code.hostConflict, 'other nodes are not reached', refusals.slice(0, 4).join('; '))
  })
  const filter = new FilterSocket(call.native)
  setCluster(filter, clusterOf(store), (fill) => fill(allHoldings(store)))
}

/** What is no longer as ADD left it. */
export function checkOverlay(call: Call): readonly string[] {
  const { overlay } = withOverlay(call)
  if (!overlay) return []
  const { wanted, problems } = wovenOf(overlay)
  const { entries, faults } = withFabric(call, (fabric) =>
    fabric.observe(devicesOf(overlay.self, overlay.options)),
  )
  const missing = changesBetween(wanted, entries)
    .filter(({ kind }) => kind !== 'delete')
    .map(({ kind, entry }) => `${describe(entry)} is ${kind === 'add' ? 'missing' : 'changed'}`)
  const told = withExistingStore(call, clusterOf) ?? []
  const cluster = [...told, ...overlay.cluster]
  const lacking = clusterDifference(new FilterSocket(call.native), cluster).missing
  const set = lacking.length > 0 ? ['nftables does not know what is inside the cluster'] : []
  return [...problems, ...faults, ...missing, ...set]
}

/**
 * Takes the way to other nodes away if this network's last pod is gone and nobody else tells of
 * one. Under the store's lock.
 */
export function dropIdleOverlay(call: Call, store: LeaseStore, filter: FilterSocket): void {
  const owner = ownerOf(call)
  const isOurs = store.cluster.of(owner) !== undefined || call.config.overlay !== undefined
  if (!isOurs || call.plugin !== 'tulle' || store.attachments(call.id.network).length > 0) return
  store.cluster.drop(owner)
  const left = clusterOf(store)
  if (left.length === 0) withFabric(call, (fabric) => fabric.dropAll())
  setCluster(filter, left, (fill) => fill(allHoldings(store)))
  if (left.length === 0) filter.dropEmptyTables()
}

/**
 * As `dropIdleOverlay` where no store is left to tell of it. One is made only if there is something
 * to take away: its lock keeps an ADD out meanwhile.
 */
export function dropLostOverlay(call: Call, filter: FilterSocket): void {
  const { config, plugin } = call
  if (!config.overlay || plugin !== 'tulle') return
  if (withFabric(call, (fabric) => fabric.isEmpty())) return
  withStore(call, (store) => dropIdleOverlay(call, store, filter))
}

const clusterOf = (store: LeaseStore): readonly Prefix[] =>
  store.cluster.all().flatMap((text) => parsePrefix(text) ?? [])

function wovenOf({ self, options, nodes }: Overlay): {
  readonly wanted: ReadonlyMap<string, FabricEntry>
  readonly problems: readonly string[]
} {
  const weave = new Weave()
  for (const node of nodes) weave.put(weavePeer(self, node, options))
  const problems = [...weave.nodes.values()].flatMap(({ problem }) => problem ?? [])
  return { wanted: weave.wanted, problems }
}

function withFabric<T>({ native }: Call, use: (fabric: FabricSocket) => T): T {
  const fabric = new FabricSocket(native)
  try {
    return use(fabric)
  } finally {
    fabric.close()
  }
}
