import type { ApplyRefusal, ObservedFabric } from '../../src/kernel/fabric-socket.ts'
import { type Changes, keyOf } from '../../src/overlay/difference.ts'
import type { FabricEntry, TunnelDevice } from '../../src/overlay/fabric.ts'
import type { HostView } from '../../src/overlay/self.ts'
import type { Chance } from './chance.ts'

/** The agent's process ended here, between two messages to the kernel. */
export class Killed extends Error {}

/**
 * A node's kernel, as far as the way to other nodes goes: devices that take along what is on them,
 * entries of which one key holds one, and a power cut after any message. It outlives its agents.
 */
export class KernelModel {
  #view: HostView
  readonly #devices = new Map<string, TunnelDevice>()
  readonly #entries = new Map<string, FabricEntry>()
  /** Indexes are never given twice. */
  readonly #indexes = new Map<string, number>()
  #nextIndex = 1
  /**
   * Somebody changed something, these entries if it is no more than that; whether an agent hears of
   * it is the simulation's to say.
   */
  onForeignChange: (lost: readonly FabricEntry[]) => void = () => undefined
  /** Refuses a message for want of memory. */
  isShort: () => boolean = () => false
  /** What was done in an order that loses packets. */
  readonly breaches: string[] = []
  /** Somebody else's changes may have taken what a route leads to, unknown to the agent. */
  #isDisturbed = false
  /** Messages until the power goes; undefined: it stays. */
  messagesLeft: number | undefined

  constructor(view: HostView) {
    this.#view = view
  }

  view = (): HostView => this.#view

  observe = (devices: readonly TunnelDevice[]): ObservedFabric => {
    this.#isDisturbed = false
    return {
      entries: new Map(this.#entries),
      faults: devices.flatMap((device) =>
        sameDevice(this.#devices.get(device.name), device)
          ? []
          : [`${device.name} is not as wanted`],
      ),
    }
  }

  ensureDevices = (devices: readonly TunnelDevice[]): readonly string[] => {
    const changed: string[] = []
    for (const name of [...this.#devices.keys()])
      if (!devices.some((one) => one.name === name)) {
        this.#message()
        this.#dropDevice(name)
        changed.push(`removed ${name}`)
      }
    for (const device of devices) {
      const there = this.#devices.get(device.name)
      if (sameDevice(there, device)) continue
      this.#message()
      if (there && !canChangeTo(there, device)) this.#dropDevice(device.name)
      this.#devices.set(device.name, device)
      this.#indexes.set(device.name, this.#indexes.get(device.name) ?? this.#nextIndex++)
      changed.push(`made ${device.name}`)
    }
    return changed
  }

  apply = (changes: Changes): readonly ApplyRefusal[] => {
    const refusals: ApplyRefusal[] = []
    for (const change of changes) {
      this.#message()
      const { entry, kind } = change
      const key = keyOf(entry)
      if (this.isShort()) {
        refusals.push({ change, text: `Cannot ${kind} ${key}: no buffer space` })
        this.#isDisturbed = true
        continue
      }
      if (kind !== 'delete' && entry.kind === 'route') this.#requireWay(entry)
      if (kind === 'delete') this.#entries.delete(key)
      else if (this.#hasLink(entry.link)) this.#entries.set(key, entry)
      else refusals.push({ change, text: `Cannot ${kind} ${key}: no such device` })
    }
    return refusals
  }

  /** What anybody with root may do: an entry less, all of a kind flushed, a device deleted. */
  vandalise(chance: Chance): void {
    const device = chance.of([...this.#devices.keys()])
    if (device !== undefined && chance.happens(0.2)) {
      this.#dropDevice(device)
      this.#isDisturbed = true
      this.onForeignChange([])
      return
    }
    const entries = [...this.#entries.values()]
    const kind = chance.of(['route', 'neighbour', 'fdb'] as const)
    const one = chance.of(entries)
    const lost = chance.happens(0.3)
      ? entries.filter((entry) => entry.kind === kind)
      : one
        ? [one]
        : []
    for (const entry of lost) this.#entries.delete(keyOf(entry))
    this.#isDisturbed = true
    if (lost.length > 0) this.onForeignChange(lost)
  }

  /** Another uplink state: down, up again, gone with its address. */
  setView(view: HostView): void {
    this.#view = view
    for (const [key, entry] of this.#entries)
      if (!this.#hasLink(entry.link)) this.#entries.delete(key)
    this.onForeignChange([])
  }

  indexOf(name: string): number | undefined {
    if (!this.#hasLink(name)) return undefined
    const known = this.#indexes.get(name) ?? this.#nextIndex++
    this.#indexes.set(name, known)
    return known
  }

  /** A reboot: the disk stays, the kernel forgets. */
  forget(): void {
    this.#devices.clear()
    this.#entries.clear()
  }

  get entries(): ReadonlyMap<string, FabricEntry> {
    return this.#entries
  }

  get devices(): readonly TunnelDevice[] {
    return [...this.#devices.values()]
  }

  /** A route into the tunnel comes after the neighbour and the forwarding entry that it needs. */
  #requireWay(entry: Extract<FabricEntry, { kind: 'route' }>): void {
    if (!this.#devices.has(entry.link) || this.#isDisturbed) return
    const neighbour = this.#entries.get(
      keyOf({ ...entry, kind: 'neighbour', address: entry.gateway, mac: '' }),
    )
    const mac = neighbour?.kind === 'neighbour' ? neighbour.mac : ''
    const isWay = [...this.#entries.values()].some(
      (one) => one.kind === 'fdb' && one.mac === mac && one.link === entry.link,
    )
    if (!isWay) this.breaches.push(`${keyOf(entry)} came before what it leads to`)
  }

  #message(): void {
    if (this.messagesLeft === undefined) return
    if (this.messagesLeft === 0) throw new Killed()
    this.messagesLeft--
  }

  #hasLink = (name: string): boolean =>
    this.#devices.has(name) || this.#view.links.some((link) => link.name === name)

  #dropDevice(name: string): void {
    this.#devices.delete(name)
    this.#indexes.delete(name)
    for (const [key, entry] of this.#entries) if (entry.link === name) this.#entries.delete(key)
  }
}

const sameDevice = (left: TunnelDevice | undefined, right: TunnelDevice): boolean =>
  left !== undefined && textOf(left) === textOf(right)

/** MTU, MAC and addresses can be changed in place. */
const canChangeTo = (left: TunnelDevice, right: TunnelDevice): boolean =>
  left.vni === right.vni && left.port === right.port && textOf(left.local) === textOf(right.local)

/** JSON knows no bigint. */
export const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? `${item}n` : item))
