import type { ApplyRefusal } from '../kernel/fabric-socket.ts'
import { deviceNames, devicesOf } from '../overlay/device.ts'
import { type Changes, changesBetween, keyOf } from '../overlay/difference.ts'
import type { FabricEntry, Self, TunnelDevice } from '../overlay/fabric.ts'
import type { OverlayOptions } from '../overlay/options.ts'
import { weavePeer } from '../overlay/peer.ts'
import { selfOf } from '../overlay/self.ts'
import { onlyKeys, Weave } from '../overlay/weave.ts'
import type { Drift } from './drift.ts'
import type { Fabric } from './fabric.ts'
import { halfWayOut, missingSelf, noWayOut, refusedAll, unreached } from './fabric-findings.ts'
import type { Findings } from './findings.ts'
import { type Concern, concernOf, type WatchedLinks } from './kernel-notices.ts'
import { lacksFamily, lostUnderlays, sameSelf, withUnderlays } from './last-known-self.ts'
import { Loop, type RunKind, type SharedOptions, sharedOf } from './loop.ts'
import type { Snapshot } from './snapshot.ts'

/** A burst of news becomes a few runs; one alone waits for nothing. */
const gapMilliseconds = 5
const retryMilliseconds = 200
const retryMillisecondsMax = 15_000

export type FabricLoopOptions = SharedOptions & {
  readonly nodeName: string
  readonly overlay: OverlayOptions
  readonly resyncMilliseconds: number
  readonly snapshot: Snapshot
  readonly fabric: Fabric
  /** Index of a link of the host. */
  readonly indexOf: (name: string) => number | undefined
  readonly drift: Drift
  readonly findings: Findings
  /** From the first news of what this run has done, to its end. */
  readonly onConverged: (seconds: number) => void
  /** Where this node is has changed, or has become known. */
  readonly onSelf: () => void
  /** All that is wanted has been in the kernel for the first time. */
  readonly onReady: () => void
}

/**
 * Keeps tunnel devices, forwarding entries, neighbours and routes equal to what the snapshot wants.
 * A change of one node costs what that node has; everything is read back at the start, after a
 * change of devices, when events were lost, and at each resync. Nothing is done while nothing is
 * known, and nothing is removed on the word of a file that may be older than the kernel.
 */
export class FabricLoop {
  readonly loop: Loop
  readonly #options: FabricLoopOptions
  #weave = new Weave()
  /** What the kernel holds, as far as we know. */
  #committed = new Map<string, FabricEntry>()
  #self: Self | undefined
  #devices: readonly TunnelDevice[] = []
  #links: WatchedLinks = new Map()
  #isUplinkMissing = true
  readonly #changedNodes = new Set<string>()
  /** Keys of entries that somebody else changed, or that were refused. */
  readonly #disturbed = new Set<string>()
  readonly #refused = new Set<string>()
  #isSelfStale = true
  #isKernelStale = true
  #isFirst = true
  /** What is done to them now is no drift. */
  #areDevicesNew = true
  #newsAt: number | undefined

  constructor(options: FabricLoopOptions) {
    this.#options = options
    const { resyncMilliseconds } = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'fabric',
      work: (kind) => this.work(kind),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
      resyncMilliseconds,
    })
  }

  get self(): Self | undefined {
    return this.#self
  }

  get devices(): readonly TunnelDevice[] {
    return this.#devices
  }

  get weave(): Weave {
    return this.#weave
  }

  /** All that is wanted has been in the kernel once. */
  get isReady(): boolean {
    return !this.#isFirst
  }

  nodesChanged(names: ReadonlySet<string>): void {
    if (names.size === 0) return
    this.#newsAt ??= this.#options.clock.now()
    for (const name of names) this.#changedNodes.add(name)
    if (names.has(this.#options.nodeName)) this.#isSelfStale = true
    this.loop.mark()
  }

  /** Other things are known by other means now: what is there is held beside them. */
  sourceChanged(): void {
    this.#isKernelStale = true
    this.loop.mark()
  }

  /** A message of rtnetlink that was not of our own doing. */
  notice(type: number, body: Uint8Array): Concern | undefined {
    const concern = concernOf(type, body, {
      links: this.#links,
      isAwaited: this.#isAwaited,
      entries: this.#weave.wanted,
    })
    if (!concern || concern.kind === 'sysctl') return concern
    if (concern.kind === 'uplink') this.#isSelfStale = true
    if (concern.kind === 'device' || (concern.kind === 'uplink' && concern.mayCostRoutes))
      this.#isKernelStale = true
    if (concern.kind === 'entry') this.#disturbed.add(concern.key)
    this.loop.mark()
    return concern
  }

  eventsLost(): void {
    this.#isSelfStale = true
    this.sourceChanged()
  }

  readonly #isAwaited = (name: string | undefined): boolean => {
    if (name === undefined) return this.#isUplinkMissing
    if (Object.values(deviceNames).includes(name)) return false
    return this.#isUplinkMissing && !name.startsWith('tul')
  }

  /** One run; what could not be done is thrown, and done again by the next. */
  work(kind: RunKind): void {
    const { snapshot, findings } = this.#options
    if (snapshot.using === 'nothing') return
    if (this.#isSelfStale || kind === 'resync') this.#findSelf()
    const self = this.#self
    if (!self) return
    const newsAt = this.#newsAt
    this.#newsAt = undefined
    const touched = this.#weaveChanged(self)
    const isWhole = this.#isKernelStale || kind === 'resync' || !this.#areDevicesThere()
    if (isWhole) this.#readBack(touched)
    const changes = this.#changesOf(touched, isWhole)
    const refusals = this.#apply(changes)
    if (this.#isFirst) this.#options.onReady()
    this.#isFirst = false
    findings.tell('peers', unreached(this.#weave.troubled.values()))
    if (newsAt !== undefined && changes.length > 0)
      this.#options.onConverged((this.#options.clock.now() - newsAt) / 1000)
    if (refusals.length > 0) throw refusedAll(refusals)
  }

  /** Where this node is: from its own entry in the cluster, and the host's links. */
  #findSelf(): void {
    const { snapshot, fabric, nodeName, overlay, findings, onSelf } = this.#options
    const own = snapshot.nodes.get(nodeName)
    if (!own) {
      this.#isUplinkMissing = true
      findings.tell('self', [missingSelf(nodeName, snapshot.nodes.size)])
      return
    }
    const found = selfOf(own, fabric.view())
    this.#isSelfStale = false
    if ('problem' in found) {
      // What was last known stays in force: a tunnel outlives its uplink.
      this.#isUplinkMissing = true
      this.#watchLinks()
      findings.tell('self', [noWayOut(found.problem)])
      return
    }
    const lost = lostUnderlays(found, this.#self, own.addresses)
    findings.tell('self', lost.map(halfWayOut))
    this.#isUplinkMissing = lost.length > 0 || lacksFamily(found, own.addresses)
    const self = withUnderlays(found, lost)
    if (!this.#self || !sameSelf(this.#self, self)) {
      this.#self = self
      this.#devices = devicesOf(self, overlay)
      this.#areDevicesNew = true
      this.#weave = new Weave()
      for (const name of snapshot.nodes.keys()) this.#changedNodes.add(name)
      this.#isKernelStale = true
      onSelf()
    }
    this.#watchLinks()
    // Gone since we looked, and its notice may have come before its index was known.
    if (!this.#isWatched(Object.values(found.underlay).map(({ link }) => link))) {
      this.#isSelfStale = true
      this.loop.mark()
    }
  }

  #watchLinks(): void {
    const { indexOf } = this.#options
    const uplinks = [this.#self?.underlay[4], this.#self?.underlay[6]]
    const names = [
      ...this.#devices.map(({ name }) => ({ name, isOurs: true })),
      ...uplinks.flatMap((uplink) => (uplink ? [{ name: uplink.link, isOurs: false }] : [])),
    ]
    this.#links = new Map(
      names.flatMap((link) => {
        const index = indexOf(link.name)
        return index === undefined ? [] : [[index, link] as const]
      }),
    )
  }

  #isWatched(names: readonly string[]): boolean {
    const watched = [...this.#links.values()].map(({ name }) => name)
    return names.every((name) => watched.includes(name))
  }

  /** Entries go before their device does, and are told of before. */
  #areDevicesThere(): boolean {
    if (this.#disturbed.size === 0) return true
    return this.#devices.every(({ name }) => {
      const index = this.#options.indexOf(name)
      return index !== undefined && this.#links.has(index)
    })
  }

  /** Keys that this may have changed. */
  #weaveChanged(self: Self): Set<string> {
    const { snapshot, overlay } = this.#options
    const touched = new Set<string>()
    for (const name of this.#changedNodes) {
      const node = snapshot.nodes.get(name)
      const keys = node ? this.#weave.put(weavePeer(self, node, overlay)) : this.#weave.drop(name)
      for (const key of keys) touched.add(key)
    }
    this.#changedNodes.clear()
    return touched
  }

  /** Devices are made right, then everything of ours is read. */
  #readBack(touched: ReadonlySet<string>): void {
    const { fabric, drift } = this.#options
    const before = this.#committed
    const changed = fabric.ensureDevices(this.#devices)
    if (changed.length > 0 && !this.#areDevicesNew) drift.repaired('device', changed.join('; '))
    this.#areDevicesNew = false
    const { entries } = fabric.observe(this.#devices)
    this.#committed = new Map(entries)
    this.#isKernelStale = false
    if (!this.#isFirst) this.#countLost(before, touched)
    this.#watchLinks()
    if (!this.#isWatched(this.#devices.map(({ name }) => name))) this.sourceChanged()
  }

  /** What we had put there and is not as we did. */
  #countLost(before: ReadonlyMap<string, FabricEntry>, touched: ReadonlySet<string>): void {
    for (const key of before.keys())
      if (!this.#committed.has(key) && this.#weave.wanted.has(key) && !touched.has(key))
        this.#disturbed.add(key)
  }

  #changesOf(touched: ReadonlySet<string>, isWhole: boolean): Changes {
    const { wanted } = this.#weave
    for (const key of this.#disturbed) this.#committed.delete(key)
    if (isWhole) {
      const changes = changesBetween(wanted, this.#committed)
      const isSure = this.#options.snapshot.using === 'live'
      return isSure ? changes : changes.filter(({ kind }) => kind !== 'delete')
    }
    const keys = new Set([...touched, ...this.#disturbed, ...this.#refused])
    return changesBetween(onlyKeys(wanted, keys), onlyKeys(this.#committed, keys))
  }

  #apply(changes: Changes): readonly ApplyRefusal[] {
    const refusals = changes.length === 0 ? [] : this.#options.fabric.apply(changes)
    const refused = new Set(refusals.map(({ change }) => keyOf(change.entry)))
    const repaired = new Map<string, string[]>()
    for (const { kind, entry } of changes) {
      const key = keyOf(entry)
      if (refused.has(key)) continue
      if (kind === 'delete') this.#committed.delete(key)
      else this.#committed.set(key, entry)
      if (this.#disturbed.has(key))
        repaired.set(entry.kind, [...(repaired.get(entry.kind) ?? []), key])
    }
    for (const [kind, keys] of repaired)
      this.#options.drift.repaired(kind, keys[0] ?? kind, keys.length)
    this.#disturbed.clear()
    this.#refused.clear()
    for (const key of refused) this.#refused.add(key)
    return refusals
  }
}
