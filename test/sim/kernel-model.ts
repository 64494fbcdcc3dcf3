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
  readonly #view: HostView
  readonly #devices = new Map<string, TunnelDevice>()
  readonly #entries = new Map<string, FabricEntry>()
  /** Somebody changed something; whether an agent hears of it is the simulation's to say. */
  onForeignChange: () => void = () => undefined
  /** Messages until the power goes; undefined: it stays. */
  messagesLeft: number | undefined

  constructor(view: HostView) {
    this.#view = view
  }

  view = (): HostView => this.#view

  observe = (devices: readonly TunnelDevice[]): ObservedFabric => ({
    entries: new Map(this.#entries),
    faults: devices.flatMap((device) =>
      sameDevice(this.#devices.get(device.name), device) ? [] : [`${device.name} is not as wanted`],
    ),
  })

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
      if (kind === 'delete') this.#entries.delete(key)
      else if (this.#hasLink(entry.link)) this.#entries.set(key, entry)
      else refusals.push({ change, text: `Cannot ${kind} ${key}: no such device` })
    }
    return refusals
  }

  /** What anybody with root may do: an entry less, a device less, all of a kind flushed. */
  vandalise(chance: Chance): void {
    const keys = [...this.#entries.keys()]
    const what = chance.below(4)
    const lost = chance.of(keys)
    if (what === 0 && lost !== undefined) this.#entries.delete(lost)
    else if (what === 1)
      for (const key of keys) if (key.startsWith('route')) this.#entries.delete(key)
    if (what === 2) for (const key of keys) if (key.startsWith('fdb')) this.#entries.delete(key)
    const device = chance.of([...this.#devices.keys()])
    if (what === 3 && device !== undefined) this.#dropDevice(device)
    this.onForeignChange()
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

  #message(): void {
    if (this.messagesLeft === undefined) return
    if (this.messagesLeft === 0) throw new Killed()
    this.messagesLeft--
  }

  #hasLink = (name: string): boolean =>
    this.#devices.has(name) || this.#view.links.some((link) => link.name === name)

  #dropDevice(name: string): void {
    this.#devices.delete(name)
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
