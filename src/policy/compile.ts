import type { Address } from '../base/address.ts'
import type { Namespace } from '../cluster/namespace.ts'
import { type Direction, directions } from '../cluster/network-policy.ts'
import type { ClusterNode } from '../cluster/node.ts'
import type { Pod } from '../cluster/pod.ts'
import { type Change, takeChanges } from './changes.ts'
import { compareText } from './matrix.ts'
import type { Policy } from './model.ts'
import { PodIdentities } from './pod-identities.ts'
import { type Ask, askOf, Profiles, policyKey, type Select } from './profiles.ts'
import type { Profile, Program, Subject } from './program.ts'
import { modeOf, selects } from './select.ts'
import { Selections } from './selections.ts'

/** All that a node's program follows from. Maps may change between calls, their objects never. */
export type PolicyState = {
  /** This node. */
  readonly nodeName: string
  /** By "namespace/name". */
  readonly pods: ReadonlyMap<string, Pod>
  readonly namespaces: ReadonlyMap<string, Namespace>
  readonly nodes: ReadonlyMap<string, ClusterNode>
  /** By "Kind namespace/name": one for each spec. */
  readonly policies: ReadonlyMap<string, readonly Policy[]>
  /** This node's pods as they are on record, by their addresses' texts. */
  readonly local: ReadonlyMap<string, LocalPod>
}

export type LocalPod = {
  readonly address: Address
  /**
   * What the API last told of it: it counts while the record is there, ended or not (P44). Absent:
   * no Kubernetes pod, so nothing isolates it. One that is not known yet has no entry.
   */
  readonly pod: Pod | undefined
}

/** What the last program was made of: the next one costs as much as has changed since. */
export type Memo = { parts: Parts | undefined }

export const emptyMemo = (): Memo => ({ parts: undefined })

/**
 * What the node's kernel is to enforce. Parts that did not change are the same objects as before,
 * down to each profile, and so is the program itself. A memo belongs to one node's state.
 */
export function compile(state: PolicyState, memo: Memo): Program {
  const parts = memo.parts?.nodeName === state.nodeName ? memo.parts : new Parts(state.nodeName)
  memo.parts = undefined // where this throws, nothing half-done is left
  const program = parts.update(state)
  memo.parts = parts
  return program
}

/** What a local pod's policies were found by, and what they are. */
type Known = {
  readonly pod: Pod
  readonly namespace: Namespace | undefined
  readonly policies: readonly Policy[]
  readonly asks: Readonly<Record<Direction, Ask | undefined>>
}

class Parts {
  readonly nodeName: string
  readonly #identities: PodIdentities
  readonly #selections: Selections
  readonly #profiles = new Profiles()
  readonly #policies = new Map<string, readonly Policy[]>()
  /** By namespace, in an order that depends on the policies alone. */
  #policiesOf: ReadonlyMap<string, readonly Policy[]> = new Map()
  readonly #namespaces = new Map<string, Namespace>()
  readonly #known = new Map<string, Known>()
  #program: Program = { identities: new Map(), subjects: new Map(), profiles: new Map() }

  constructor(nodeName: string) {
    this.nodeName = nodeName
    this.#identities = new PodIdentities(nodeName)
    this.#selections = new Selections(this.#identities.classes)
  }

  update(state: PolicyState): Program {
    const policies = takeChanges(this.#policies, state.policies)
    const namespaces = takeChanges(this.#namespaces, state.namespaces)
    if (policies.length > 0) this.#policiesOf = this.#sorted(policies)
    const moved = this.#identities.update(state, policies)
    const changed = new Set([...moved, ...namespaces.map(({ key }) => key)])
    this.#selections.refresh(changed, state.namespaces)
    const subjects = this.#subjectsOf(state)
    const { profiles, selections } = this.#profiles.settle()
    if (policies.length > 0) this.#selections.keep(selections)
    const before = this.#program
    const next: Program = {
      identities: this.#identities.identities(),
      subjects: kept(before.subjects, subjects, sameSubject),
      profiles: kept(before.profiles, byName(profiles), Object.is),
    }
    const isSame =
      next.identities === before.identities &&
      next.subjects === before.subjects &&
      next.profiles === before.profiles
    if (!isSame) this.#program = next
    return this.#program
  }

  /** The lists of untouched namespaces stay the same objects. */
  #sorted(changes: readonly Change<string, readonly Policy[]>[]) {
    const touched = new Set(
      changes.flatMap(({ before = [], after = [] }) =>
        [...before, ...after].map(({ namespace }) => namespace),
      ),
    )
    const sorted = new Map([...this.#policiesOf].filter(([namespace]) => !touched.has(namespace)))
    const inTouched = [...this.#policies.values()]
      .flat()
      .filter(({ namespace }) => touched.has(namespace))
      .sort((left, right) => compareText(policyKey(left), policyKey(right)))
    for (const [namespace, list] of Map.groupBy(inTouched, (policy) => policy.namespace))
      sorted.set(namespace, list)
    return sorted
  }

  #subjectsOf(state: PolicyState): ReadonlyMap<string, Subject> {
    const select: Select = (selector) => this.#selections.of(selector, state.namespaces)
    for (const address of this.#known.keys())
      if (!state.local.has(address)) this.#known.delete(address)
    return new Map(
      [...state.local].map(([address, { pod }]) => {
        const subject: { -readonly [Key in Direction]?: string } = {}
        if (!pod) return [address, subject]
        const asks = this.#asksOf(address, pod, state)
        for (const direction of directions) {
          const ask = asks[direction]
          if (ask) subject[direction] = this.#profiles.of(ask, select).name
        }
        return [address, subject]
      }),
    )
  }

  /** A pod on record is policed although it has ended: something of it may still run. */
  #asksOf(address: string, pod: Pod, { namespaces }: PolicyState): Known['asks'] {
    const policies = this.#policiesOf.get(pod.namespace) ?? none
    const namespace = namespaces.get(pod.namespace)
    const known = this.#known.get(address)
    if (known?.pod === pod && known.namespace === namespace && known.policies === policies)
      return known.asks
    const living = { ...pod, isDone: false }
    const applied = policies
      .filter(({ subjects }) => selects(subjects, living, { namespaces }))
      .map((policy) => ({ policy, mode: modeOf(policy, { namespaces }) }))
    const asks = {
      ingress: askOf('ingress', applied, pod.ports),
      egress: askOf('egress', applied, pod.ports),
    }
    this.#known.set(address, { pod, namespace, policies, asks })
    return asks
  }
}

const none: readonly Policy[] = []

const byName = (profiles: readonly Profile[]): ReadonlyMap<string, Profile> =>
  new Map(profiles.map((profile) => [profile.name, profile]))

/** The map of before, where the new one says the same; equal values stay the same objects. */
function kept<Value>(
  before: ReadonlyMap<string, Value>,
  now: ReadonlyMap<string, Value>,
  isSame: (left: Value, right: Value) => boolean,
): ReadonlyMap<string, Value> {
  let isOther = before.size !== now.size
  const next = new Map<string, Value>()
  for (const [key, value] of now) {
    const old = before.get(key)
    const isKept = old !== undefined && isSame(old, value)
    if (!isKept) isOther = true
    next.set(key, isKept ? old : value)
  }
  return isOther ? next : before
}

const sameSubject = (left: Subject, right: Subject): boolean =>
  left.ingress === right.ingress && left.egress === right.egress
