import { type Address, formatAddress } from '../base/address.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import { type Attachment, type KubernetesPod, nameOf } from '../datapath/attachment.ts'
import { addressOf } from '../datapath/wiring.ts'
import type { LocalPod } from '../policy/compile.ts'

/** A pod interface on record. */
export type PolicedRecord = {
  /** Of the attachment. */
  readonly name: string
  readonly addresses: readonly Address[]
  /** As the runtime named it; absent: of no Kubernetes pod. */
  readonly pod?: KubernetesPod
  /** Made before policies were asked for: it was never closed, and may name no pod. */
  readonly isOlder: boolean
}

export const policedRecords = (attachments: readonly Attachment[]): readonly PolicedRecord[] =>
  attachments.map((attachment) => ({
    name: nameOf(attachment),
    addresses: attachment.ips.map(({ address }) => addressOf(address)),
    ...(attachment.pod ? { pod: attachment.pod } : {}),
    isOlder: attachment.isPoliced !== true,
  }))

/**
 * Who has this node's addresses: the record says so before the API does, and keeps the pod's last
 * word for as long as it stands, also when the API has forgotten the pod (Terminating).
 */
export class LocalPods {
  /** By address text. A pod that is named and not known yet is left out: it stays closed. */
  readonly pods = new Map<string, LocalPod>()
  readonly #known = new Map<string, Pod>()
  #records: readonly PolicedRecord[] = []
  #waiting: readonly string[] = []

  /** "shop/api-0": those that are named on record and not told of yet. */
  get waiting(): readonly string[] {
    return this.#waiting
  }

  get records(): readonly PolicedRecord[] {
    return this.#records
  }

  /** What is on record now. */
  put(records: readonly PolicedRecord[]): void {
    this.#records = records
    const names = new Set(records.map(({ name }) => name))
    for (const name of this.#known.keys()) if (!names.has(name)) this.#known.delete(name)
  }

  /**
   * Binds every record to its pod.
   * @param podAt tells the pod at an address, for records that name none.
   */
  bind(
    pods: ReadonlyMap<string, Pod>,
    podAt: (address: Address) => Pod | undefined = () => undefined,
  ): void {
    const there = new Set<string>()
    const waiting: string[] = []
    for (const record of this.#records) {
      const { addresses, pod: named, isOlder } = record
      const known = this.#knownOf(record, pods)
      if (named && !known) {
        if (!isOlder) waiting.push(podKey(named))
        continue
      }
      for (const address of addresses) {
        const pod = known ?? podAt(address)
        // Of whom nobody knows anything, and who was never closed, nothing is asked.
        if (isOlder && !pod) continue
        const text = formatAddress(address)
        there.add(text)
        this.#put(text, address, pod)
      }
    }
    for (const text of this.pods.keys()) if (!there.has(text)) this.pods.delete(text)
    this.#waiting = waiting
  }

  /** The pod that a record names, or its last word; undefined before it is told of. */
  #knownOf({ name, pod: named }: PolicedRecord, pods: ReadonlyMap<string, Pod>): Pod | undefined {
    if (!named) return undefined
    const found = pods.get(podKey(named))
    const isIt = found && (!named.uid || found.uid === undefined || found.uid === named.uid)
    if (isIt) this.#known.set(name, found)
    return this.#known.get(name)
  }

  #put(text: string, address: Address, pod: Pod | undefined): void {
    const before = this.pods.get(text)
    if (!before || before.pod !== pod) this.pods.set(text, { address, pod })
  }
}
