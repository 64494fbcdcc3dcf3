import type { Pod } from '../cluster/pod.ts'
import { type Changed, type Mentions, portWord } from './mentions.ts'
import { firstPodIdentity, type Identity } from './program.ts'

/** Pods of one namespace that no policy can tell apart. */
export type PodClass = {
  readonly identity: Identity
  readonly namespace: string
  /** Those that some selector asks for. */
  readonly labels: ReadonlyMap<string, string>
  readonly serviceAccount: string
  /** Numbers by the word of a port ("TCP/http") that some policy uses. */
  readonly ports: ReadonlyMap<string, readonly number[]>
}

type Counted = PodClass & { readonly key: string; pods: number }

/** A mark of nf_tables has four bytes. */
const identityMax = 0xffff_ffff
/** So common that a policy's first mention of service accounts need not renumber every pod. */
const commonServiceAccount = 'default'

/** The classes that have pods. A number stays with its class as long as there is one. */
export class PodClasses {
  readonly #byKey = new Map<string, Counted>()
  readonly #byNamespace = new Map<string, Set<PodClass>>()
  readonly #identities = new Set<Identity>()
  readonly #empty = new Set<Counted>()
  /** Namespaces in which classes came or went since the last `settle`. */
  #changed = new Set<string>()
  #next = firstPodIdentity

  /** Counts the pod in; `leave` counts it out. */
  join(pod: Pod, mentions: Mentions): PodClass {
    const mentioned = mentionedOf(pod, mentions)
    const key = JSON.stringify(mentioned)
    const known = this.#byKey.get(key) ?? this.#make(key, pod.namespace, mentioned)
    known.pods++
    return known
  }

  leave(one: PodClass): void {
    const known = one as Counted
    known.pods--
    if (known.pods === 0) this.#empty.add(known)
  }

  inNamespace(namespace: string): ReadonlySet<PodClass> {
    return this.#byNamespace.get(namespace) ?? none
  }

  namespaces(): Iterable<string> {
    return this.#byNamespace.keys()
  }

  /** Forgets classes without pods; tells where classes came or went since the last call. */
  settle(): ReadonlySet<string> {
    for (const one of this.#empty) if (one.pods === 0) this.#forget(one)
    this.#empty.clear()
    const changed = this.#changed
    this.#changed = new Set()
    return changed
  }

  #make(key: string, namespace: string, { labels, serviceAccount, ports }: Mentioned): Counted {
    const identity = this.#number()
    const made = {
      ...{ key, identity, namespace, serviceAccount, pods: 0 },
      labels: new Map(labels),
      ports: new Map(ports),
    }
    this.#byKey.set(key, made)
    this.#identities.add(identity)
    const neighbours = this.#byNamespace.get(namespace) ?? new Set()
    this.#byNamespace.set(namespace, neighbours.add(made))
    this.#changed.add(namespace)
    return made
  }

  /** One after the other: a number that was just given back is the last to be used again. */
  #number(): Identity {
    while (this.#identities.has(this.#next)) this.#advance()
    const identity = this.#next
    this.#advance()
    return identity
  }

  #advance(): void {
    this.#next = this.#next === identityMax ? firstPodIdentity : this.#next + 1
  }

  #forget(one: Counted): void {
    this.#byKey.delete(one.key)
    this.#identities.delete(one.identity)
    const neighbours = this.#byNamespace.get(one.namespace)
    neighbours?.delete(one)
    if (neighbours?.size === 0) this.#byNamespace.delete(one.namespace)
    this.#changed.add(one.namespace)
  }
}

const none: ReadonlySet<PodClass> = new Set()

type Mentioned = {
  readonly namespace: string
  readonly labels: readonly (readonly [string, string])[]
  readonly serviceAccount: string
  readonly ports: readonly (readonly [string, readonly number[]])[]
}

/** All that policies can know of a pod, in an order of its own. */
function mentionedOf({ namespace, labels, serviceAccount, ports }: Pod, mentions: Mentions) {
  const mentioned: [string, string][] = []
  for (const label of labels) if (mentions.labels.has(label[0])) mentioned.push(label)
  const asksAccount = mentions.serviceAccounts.size > 0
  return {
    namespace,
    labels: mentioned.sort(byKey),
    serviceAccount: asksAccount ? serviceAccount : commonServiceAccount,
    ports: mentions.ports.size === 0 ? [] : [...portsByWord(ports, mentions.ports)].sort(byKey),
  }
}

/** A pod may use one word for several numbers, in several containers. */
export function portsByWord(
  ports: Pod['ports'],
  mentioned: { readonly has: (word: string) => boolean },
): ReadonlyMap<string, readonly number[]> {
  const found = new Map<string, readonly number[]>()
  for (const { protocol, name, port } of ports) {
    if (name === undefined) continue
    const word = portWord(protocol, name)
    if (!mentioned.has(word)) continue
    const numbers = new Set([...(found.get(word) ?? []), port])
    found.set(
      word,
      [...numbers].sort((left, right) => left - right),
    )
  }
  return found
}

const byKey = ([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number =>
  left < right ? -1 : left > right ? 1 : 0

/** Whether a pod can be of another class now that policies ask for other things. */
export function isTouched(pod: Pod, { labels, ports, hasServiceAccounts }: Changed): boolean {
  if (hasServiceAccounts && pod.serviceAccount !== commonServiceAccount) return true
  for (const key of labels) if (pod.labels.has(key)) return true
  return (
    ports.size > 0 &&
    pod.ports.some(
      ({ protocol, name }) => name !== undefined && ports.has(portWord(protocol, name)),
    )
  )
}
