import { isDeepStrictEqual } from 'node:util'
import type { FieldProblem } from '../cluster/field.ts'
import type { Namespace } from '../cluster/namespace.ts'
import type { Pod } from '../cluster/pod.ts'
import type { ReadPolicy } from '../kube/policy-feeds.ts'
import type { Reflected } from '../kube/reflected.ts'
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
  readonly #read = new Map<string, ReadPolicy>()
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

  hearPolicies(kind: PolicyKind, news: Reflected<ReadPolicy>): void {
    const isFirst = this.#missing.delete(kind)
    const hasChanged = apply(this.#read, prefixed(kind, news), (name) =>
      name.startsWith(`${kind} `),
    )
    if (news.kind === 'all') for (const key of news.items.keys()) this.#judge(kind, key)
    else this.#judge(kind, news.key)
    for (const name of this.policies.keys())
      if (!this.#read.has(name)) {
        this.policies.delete(name)
        this.odd.delete(name)
      }
    if (hasChanged || isFirst) this.#changed()
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

  #judge(kind: PolicyKind, key: string): void {
    const title = `${kind} ${key}`
    const read = this.#read.get(title)
    if (!read) return
    this.policies.set(title, read.policies)
    const [namespace = '', name = ''] = key.split('/')
    const { uid, problems } = read
    if (problems.length === 0) this.odd.delete(title)
    else this.odd.set(title, { kind, namespace, name, uid, problems })
  }

  #changed(): void {
    this.#changedAt ??= this.#now()
    this.#onChange()
  }
}

function prefixed(kind: PolicyKind, news: Reflected<ReadPolicy>): Reflected<ReadPolicy> {
  if (news.kind !== 'all') return { ...news, key: `${kind} ${news.key}` }
  const items = [...news.items].map(([key, item]) => [`${kind} ${key}`, item] as const)
  return { kind: 'all', items: new Map(items) }
}

/**
 * Whoever is told last stands last: of two pods with one address that one has it (P44).
 * @param isMeant which keys `all` speaks of.
 */
function apply<Item>(
  into: Map<string, Item>,
  news: Reflected<Item>,
  isMeant: (key: string) => boolean = () => true,
): boolean {
  if (news.kind === 'gone') return into.delete(news.key)
  if (news.kind === 'changed') {
    into.delete(news.key)
    into.set(news.key, news.item)
    return true
  }
  let hasChanged = false
  for (const key of [...into.keys()])
    if (isMeant(key) && !news.items.has(key)) hasChanged = into.delete(key) || hasChanged
  for (const [key, item] of news.items) {
    if (isDeepStrictEqual(into.get(key), item)) continue
    hasChanged = true
    into.delete(key)
    into.set(key, item)
  }
  return hasChanged
}
