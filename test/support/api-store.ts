import { at, isObject } from '../../src/cluster/json-value.ts'

/** Objects as an API server keeps them: never changed, only replaced by a newer revision. */
export type Stored = {
  readonly object: ApiObject
  readonly text: string
  readonly revision: number
}
export type ApiObject = {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: { readonly name: string; readonly namespace?: string; [key: string]: unknown }
  readonly [key: string]: unknown
}

/** One change; `before` and `after` as they were and are, for selectors. */
export type Change = {
  readonly collection: string
  readonly revision: number
  readonly before: Stored | undefined
  readonly after: Stored | undefined
}

/**
 * What etcd and the watch cache are to an API server: one revision for everything, a history that
 * can be compacted. A collection is "group/plural".
 */
export class ApiStore {
  #revision = 1000
  #compacted = 1000
  #history: Change[] = []
  readonly #collections = new Map<string, Map<string, Stored>>()
  readonly #listeners = new Set<(change: Change) => void>()

  get revision(): number {
    return this.#revision
  }

  /** What is older than this is gone. */
  get compacted(): number {
    return this.#compacted
  }

  /** In the order of etcd: by namespace, then name. */
  list(collection: string): readonly Stored[] {
    const objects = [...this.#of(collection)]
    return objects.sort(([left], [right]) => (left < right ? -1 : 1)).map(([, stored]) => stored)
  }

  get(collection: string, key: string): Stored | undefined {
    return this.#of(collection).get(key)
  }

  /** A write that changes nothing makes no revision, as with the real one. */
  put(collection: string, object: ApiObject): Stored {
    const key = keyOf(object)
    const before = this.get(collection, key)
    if (before && sameBut(before.object, object)) return before
    const after = this.#stored(object, {
      uid: before?.object.metadata.uid ?? `uid-${this.#revision + 1}`,
      creationTimestamp: before?.object.metadata.creationTimestamp ?? '2026-01-01T00:00:00Z',
    })
    this.#of(collection).set(key, after)
    this.#changed({ collection, revision: after.revision, before, after })
    return after
  }

  /** The object as it was, with the revision of its end. */
  delete(collection: string, key: string): Stored | undefined {
    const before = this.get(collection, key)
    if (before === undefined) return undefined
    this.#of(collection).delete(key)
    const last = this.#stored(before.object, {})
    this.#changed({ collection, revision: last.revision, before: last, after: undefined })
    return last
  }

  /** The changes since a revision, oldest first. */
  since(revision: number): readonly Change[] {
    let start = this.#history.length
    while (start > 0 && (this.#history[start - 1]?.revision ?? 0) > revision) start--
    return this.#history.slice(start)
  }

  /** From now on, a version older than this moment is answered by 410. */
  compact(): void {
    this.#compacted = this.#revision
    this.#history = []
  }

  /** A revision that nobody has seen: what a busy cluster's other objects do. */
  skip(): void {
    this.#revision++
  }

  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #of(collection: string): Map<string, Stored> {
    const found = this.#collections.get(collection) ?? new Map<string, Stored>()
    this.#collections.set(collection, found)
    return found
  }

  #stored(object: ApiObject, set: Readonly<Record<string, unknown>>): Stored {
    const revision = ++this.#revision
    const metadata = { ...object.metadata, ...set, resourceVersion: String(revision) }
    const stamped = { ...object, metadata }
    return { object: stamped, text: JSON.stringify(stamped), revision }
  }

  #changed(change: Change): void {
    this.#history.push(change)
    for (const listener of this.#listeners) listener(change)
  }
}

export const keyOf = ({ metadata }: ApiObject): string =>
  metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`

const serversOwn = ['resourceVersion', 'uid', 'creationTimestamp']

function sameBut(left: ApiObject, right: ApiObject): boolean {
  const plain = (object: ApiObject): string => {
    const own = Object.entries(object.metadata).filter(([key]) => !serversOwn.includes(key))
    return JSON.stringify(sorted({ ...object, metadata: Object.fromEntries(own) }))
  }
  return plain(left) === plain(right)
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  const entries = Object.entries(value).map(([key, item]) => [key, sorted(item)] as const)
  return Object.fromEntries(entries.sort(([left], [right]) => (left < right ? -1 : 1)))
}

/**
 * Reads "spec.nodeName=a,metadata.name!=b" and "app=web,tier!=db,name": equality and, for labels,
 * presence.
 */
export function selects(
  { fieldSelector, labelSelector }: { fieldSelector: string; labelSelector: string },
  object: ApiObject,
): boolean {
  const labels = at(object, 'metadata', 'labels')
  return (
    termsOf(fieldSelector).every((term) => fits(term, at(object, ...term.key.split('.')) ?? '')) &&
    termsOf(labelSelector).every((term) => fits(term, at(labels, term.key)))
  )
}

type Term = { readonly key: string; readonly sign: string; readonly value: string }

const termsOf = (text: string): readonly Term[] =>
  text
    .split(',')
    .filter((word) => word !== '')
    .map((word) => {
      const [, key = '', sign = '', value = ''] = /^([^!=]+)(!?==?)?(.*)$/.exec(word) ?? []
      return { key, sign, value }
    })

function fits({ sign, value }: Term, found: unknown): boolean {
  if (sign === '') return found !== undefined
  return sign.startsWith('!') ? found !== value : found === value
}
