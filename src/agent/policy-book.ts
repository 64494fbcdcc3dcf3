import { isDeepStrictEqual } from 'node:util'
import type { CiliumPolicy } from '../cluster/cilium-policy.ts'
import type { FieldProblem } from '../cluster/field.ts'
import type { Namespace } from '../cluster/namespace.ts'
import type { NetworkPolicy } from '../cluster/network-policy.ts'
import type { Pod } from '../cluster/pod.ts'
import type { ToldPolicy } from '../kube/policy-feeds.ts'
import type { Reflected } from '../kube/reflector.ts'
import { fromCiliumPolicy } from '../policy/from-cilium-policy.ts'
import { fromNetworkPolicy } from '../policy/from-network-policy.ts'
import type { Policy } from '../policy/model.ts'

export const policyKinds = ['NetworkPolicy', 'CiliumNetworkPolicy'] as const
export type PolicyKind = (typeof policyKinds)[number]
/** What has to be told as a whole before anything is known. */
const kinds = ['Pod', 'Namespace', ...policyKinds] as const
type Kind = (typeof kinds)[number]

/** A policy of which not all is in force. */
export type OddPolicy = {
  readonly kind: PolicyKind
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly problems: readonly FieldProblem[]
}

/** resourceVersions up to which each kind has been told. */
export type Revisions = Readonly<Partial<Record<PolicyKind, string>>>

/**
 * Pods, namespaces and policies of the cluster as their source tells them; written by it, read by
 * the policy loop. What is told twice the same stays the same object.
 */
export class PolicyBook {
  readonly pods = new Map<string, Pod>()
  readonly namespaces = new Map<string, Namespace>()
  /** By "NetworkPolicy shop/api". */
  readonly policies = new Map<string, readonly Policy[]>()
  readonly odd = new Map<string, OddPolicy>()
  readonly #told = new Map<string, ToldPolicy<NetworkPolicy | CiliumPolicy>>()
  readonly #missing = new Set<Kind>(kinds)
  readonly #now: () => number
  readonly #onChange: () => void
  #revisions: Revisions = {}
  #changedAt: number | undefined

  constructor(now: () => number, onChange: () => void) {
    this.#now = now
    this.#onChange = onChange
  }

  /** Every kind has been told as a whole. */
  get isWhole(): boolean {
    return this.#missing.size === 0
  }

  /** Kinds that nothing is known of yet. */
  get missing(): readonly string[] {
    return [...this.#missing]
  }

  get revisions(): Revisions {
    return this.#revisions
  }

  /** When the first change was told that nobody has taken yet; by the clock. */
  get changedAt(): number | undefined {
    return this.#changedAt
  }

  /** All that was told so far is known to whoever asked. */
  taken(): void {
    this.#changedAt = undefined
  }

  hearPods(news: Reflected<Pod>): void {
    this.#hear('Pod', this.pods, news)
  }

  hearNamespaces(news: Reflected<Namespace>): void {
    this.#hear('Namespace', this.namespaces, news)
  }

  hearNetworkPolicies(news: Reflected<ToldPolicy<NetworkPolicy>>): void {
    const kind = 'NetworkPolicy'
    this.#hearPolicies(kind, news, ({ value }) => (value ? [fromNetworkPolicy(value)] : []))
  }

  hearCiliumPolicies(news: Reflected<ToldPolicy<CiliumPolicy>>): void {
    const kind = 'CiliumNetworkPolicy'
    this.#hearPolicies(kind, news, ({ value }) => (value ? fromCiliumPolicy(value) : []))
  }

  /** Everything up to this version of that kind has been told. */
  reached(kind: PolicyKind, version: string): void {
    this.#revisions = { ...this.#revisions, [kind]: version }
    // The revision is told to the cluster, though nothing of it may change the kernel.
    this.#onChange()
  }

  #hear<Item>(kind: Kind, into: Map<string, Item>, news: Reflected<Item>): void {
    const isFirst = this.#missing.delete(kind)
    const hasChanged = apply(into, news)
    if (hasChanged || isFirst) this.#changed()
  }

  #hearPolicies<Value extends NetworkPolicy | CiliumPolicy>(
    kind: PolicyKind,
    news: Reflected<ToldPolicy<Value>>,
    read: (told: ToldPolicy<Value>) => readonly Policy[],
  ): void {
    const isFirst = this.#missing.delete(kind)
    let hasChanged = false
    const put = (key: string, told: ToldPolicy<Value>): void => {
      const name = `${kind} ${key}`
      if (isDeepStrictEqual(this.#told.get(name), told)) return
      hasChanged = true
      this.#told.set(name, told)
      this.policies.set(name, read(told))
      this.#judge(kind, key, told)
    }
    const drop = (name: string): void => {
      hasChanged = this.#told.delete(name) || hasChanged
      this.policies.delete(name)
      this.odd.delete(name)
    }
    if (news.kind === 'gone') drop(`${kind} ${news.key}`)
    else if (news.kind === 'changed') put(news.key, news.item)
    else {
      for (const name of [...this.#told.keys()])
        if (name.startsWith(`${kind} `) && !news.items.has(name.slice(kind.length + 1))) drop(name)
      for (const [key, told] of news.items) put(key, told)
    }
    if (hasChanged || isFirst) this.#changed()
  }

  #judge(kind: PolicyKind, key: string, { uid, problems }: ToldPolicy<unknown>): void {
    const [namespace = '', name = ''] = key.split('/')
    if (problems.length === 0) this.odd.delete(`${kind} ${key}`)
    else this.odd.set(`${kind} ${key}`, { kind, namespace, name, uid, problems })
  }

  #changed(): void {
    this.#changedAt ??= this.#now()
    this.#onChange()
  }
}

/** Whoever is told last stands last: of two pods with one address that one has it (P44). */
function apply<Item>(into: Map<string, Item>, news: Reflected<Item>): boolean {
  if (news.kind === 'gone') return into.delete(news.key)
  if (news.kind === 'changed') {
    into.delete(news.key)
    into.set(news.key, news.item)
    return true
  }
  let hasChanged = false
  for (const key of [...into.keys()])
    if (!news.items.has(key)) hasChanged = into.delete(key) || hasChanged
  for (const [key, item] of news.items) {
    if (isDeepStrictEqual(into.get(key), item)) continue
    hasChanged = true
    into.delete(key)
    into.set(key, item)
  }
  return hasChanged
}
