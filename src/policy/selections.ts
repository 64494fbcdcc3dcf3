import type { EndpointSelector } from '../cluster/endpoint-selector.ts'
import { type Namespace, namespaceOf } from '../cluster/namespace.ts'
import type { PodClass, PodClasses } from './pod-classes.ts'
import { isHolding } from './select.ts'

/** The classes of pods that a selector means. */
export type Selection = {
  /** A new object whenever it changes. */
  readonly classes: readonly PodClass[]
}

type Namespaces = ReadonlyMap<string, Namespace>

type Known = {
  readonly ofPods: EndpointSelector
  readonly ofPlace: EndpointSelector
  /** The only namespaces that it can mean, where it names them. */
  readonly names: readonly string[] | undefined
  readonly byNamespace: Map<string, readonly PodClass[]>
  classes: readonly PodClass[]
}

/** Equal selectors are evaluated once, and again only where classes or namespaces changed. */
export class Selections {
  readonly #classes: PodClasses
  readonly #known = new Map<string, Known>()
  readonly #keys = new WeakMap<EndpointSelector, string>()

  constructor(classes: PodClasses) {
    this.#classes = classes
  }

  /** The value is followed: after a `refresh` it shows what the selector means then. */
  of(selector: EndpointSelector, namespaces: Namespaces): Selection {
    const key = this.#keyOf(selector)
    const known = this.#known.get(key)
    if (known) return known
    const made: Known = {
      ofPods: selector.filter(isOfPod),
      ofPlace: selector.filter((requirement) => !isOfPod(requirement)),
      names: namesIn(selector),
      byNamespace: new Map(),
      classes: [],
    }
    this.#known.set(key, made)
    for (const name of made.names ?? this.#classes.namespaces()) this.#look(made, name, namespaces)
    made.classes = [...made.byNamespace.values()].flat()
    return made
  }

  /** After classes came or went in these namespaces, or their labels changed. */
  refresh(changed: ReadonlySet<string>, namespaces: Namespaces): void {
    if (changed.size === 0) return
    for (const known of this.#known.values()) {
      const names = known.names?.filter((name) => changed.has(name)) ?? changed
      let isOther = false
      for (const name of names) isOther = this.#look(known, name, namespaces) || isOther
      if (isOther) known.classes = [...known.byNamespace.values()].flat()
    }
  }

  /** Forgets what nobody follows any more. */
  keep(used: ReadonlySet<Selection>): void {
    for (const [key, known] of this.#known) if (!used.has(known)) this.#known.delete(key)
  }

  #keyOf(selector: EndpointSelector): string {
    const known = this.#keys.get(selector)
    if (known !== undefined) return known
    const key = JSON.stringify(selector)
    this.#keys.set(selector, key)
    return key
  }

  /** Whether one namespace now has other classes of it than before. */
  #look(known: Known, name: string, namespaces: Namespaces): boolean {
    const namespace = namespaces.get(name) ?? namespaceOf(name)
    const before = known.byNamespace.get(name) ?? []
    const found: PodClass[] = []
    if (known.ofPlace.every((requirement) => isHolding(requirement, nobody, namespace)))
      for (const one of this.#classes.inNamespace(name))
        if (known.ofPods.every((requirement) => isHolding(requirement, one, namespace)))
          found.push(one)
    if (found.length === 0) known.byNamespace.delete(name)
    else known.byNamespace.set(name, found)
    return found.length !== before.length || found.some((one, at) => one !== before[at])
  }
}

/** Whom conditions on namespaces are not about. */
const nobody = { labels: new Map<string, string>(), serviceAccount: '' }

const isOfPod = ({ of }: EndpointSelector[number]): boolean =>
  of === 'pod' || of === 'service-account'

/** Of "in namespace x" it is x; of a selector that goes by labels nobody knows before looking. */
const namesIn = (selector: EndpointSelector): readonly string[] | undefined =>
  selector.find(({ of, operator }) => of === 'namespace-name' && operator === 'In')?.values
