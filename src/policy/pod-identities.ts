import { formatAddress } from '../base/address.ts'
import type { ClusterNode } from '../cluster/node.ts'
import type { Pod } from '../cluster/pod.ts'
import { type Change, takeChanges } from './changes.ts'
import type { LocalPod, PolicyState } from './compile.ts'
import { Mentions } from './mentions.ts'
import type { Policy } from './model.ts'
import { OwnedAddresses } from './owned-addresses.ts'
import { isTouched, type PodClass, PodClasses } from './pod-classes.ts'
import type { Identity } from './program.ts'
import { isSelectable } from './select.ts'

/** What an object last told: a pod of the API by its name, one on record by its address. */
type Told = {
  readonly pod: Pod
  /** None of a pod that policies don't know. */
  readonly podClass: PodClass | undefined
  readonly addresses: readonly string[]
  /** Its node's addresses, or its own if they are the node's (P33). */
  readonly nodeAddresses: readonly string[]
}

/** Who every address of the cluster is, kept up with what changes. */
export class PodIdentities {
  readonly classes = new PodClasses()
  readonly #nodeName: string
  readonly #mentions = new Mentions()
  readonly #addresses = new OwnedAddresses()
  readonly #pods = new Map<string, Pod>()
  readonly #nodes = new Map<string, ClusterNode>()
  readonly #local = new Map<string, LocalPod>()
  readonly #toldByApi = new Map<string, Told>()
  readonly #toldByRecord = new Map<string, Told>()

  constructor(nodeName: string) {
    this.#nodeName = nodeName
  }

  /** Tells the namespaces in which classes of pods came or went. */
  update(
    { pods, nodes, local }: PolicyState,
    policies: readonly Change<string, readonly Policy[]>[],
  ): ReadonlySet<string> {
    for (const { before = [], after = [] } of policies) {
      for (const policy of after) this.#mentions.add(policy)
      for (const policy of before) this.#mentions.remove(policy)
    }
    const changed = this.#mentions.settle()
    if (changed) this.#retell((pod) => isTouched(pod, changed))
    for (const { key, after } of takeChanges(this.#pods, pods)) this.#tellPod(key, after)
    for (const change of takeChanges(this.#local, local)) this.#tellLocal(change)
    for (const { before, after } of takeChanges(this.#nodes, nodes)) {
      if (after) this.#countNode(after, 1)
      if (before) this.#countNode(before, -1)
    }
    return this.classes.settle()
  }

  /** The same map as before, where nothing changed. */
  identities(): ReadonlyMap<string, Identity> {
    return this.#addresses.identities()
  }

  #retell(isMeant: (pod: Pod) => boolean): void {
    for (const [key, { pod }] of this.#toldByApi) if (isMeant(pod)) this.#tellPod(key, pod)
    // a list of its own: to tell is to take out and put in again, and a map's walk would not end
    for (const [address, { pod }] of [...this.#toldByRecord])
      if (isMeant(pod)) this.#tellRecord(address, pod)
  }

  #tellPod(key: string, pod: Pod | undefined): void {
    const before = this.#toldByApi.get(key)
    const after = pod && this.#toldOf(pod)
    if (after?.podClass)
      for (const address of after.addresses)
        this.#addresses.claim(address, key, after.podClass.identity)
    for (const address of before?.addresses ?? [])
      if (!after?.addresses.includes(address)) this.#addresses.release(address, key)
    if (after) this.#countHost(after, 1)
    if (before) this.#countHost(before, -1)
    if (before?.podClass) this.classes.leave(before.podClass)
    if (after) this.#toldByApi.set(key, after)
    else this.#toldByApi.delete(key)
  }

  #tellLocal({ key, before, after }: Change<string, LocalPod>): void {
    if (before && after && before.pod === after.pod) return
    if (after) this.#tellRecord(key, after.pod)
    else {
      this.#forgetRecord(key)
      this.#addresses.removeLocal(key)
    }
  }

  /** One that has ended is still there: its record says so. */
  #tellRecord(address: string, pod: Pod | undefined): void {
    const podClass = pod && !pod.isHostNetwork ? this.classes.join(pod, this.#mentions) : undefined
    this.#addresses.setLocal(address, podClass?.identity)
    this.#forgetRecord(address)
    if (pod) this.#toldByRecord.set(address, { pod, podClass, addresses: [], nodeAddresses: [] })
  }

  #forgetRecord(address: string): void {
    const before = this.#toldByRecord.get(address)
    if (before?.podClass) this.classes.leave(before.podClass)
    this.#toldByRecord.delete(address)
  }

  #toldOf(pod: Pod): Told {
    const { isDone, isHostNetwork, addresses, hostAddresses } = pod
    const isPod = isSelectable(pod) && addresses.length > 0
    const own = addresses.map(formatAddress)
    const ofNode = hostAddresses.map(formatAddress)
    return {
      pod,
      podClass: isPod ? this.classes.join(pod, this.#mentions) : undefined,
      addresses: isPod ? own : [],
      nodeAddresses: isHostNetwork && !isDone ? [...ofNode, ...own] : ofNode,
    }
  }

  #countHost({ pod, nodeAddresses }: Told, by: 1 | -1): void {
    const whose = pod.node === this.#nodeName ? 'own' : 'other'
    for (const address of nodeAddresses) this.#addresses.countNode(address, whose, by)
  }

  #countNode({ name, addresses }: ClusterNode, by: 1 | -1): void {
    const whose = name === this.#nodeName ? 'own' : 'other'
    for (const address of addresses) this.#addresses.countNode(formatAddress(address), whose, by)
  }
}
