import type { Buffer } from 'node:buffer'
import { at, fieldOf, textOf } from '../cluster/json-value.ts'
import type { KubeClient } from './client.ts'
import { LineSplitter } from './line-splitter.ts'
import { ListReader } from './list-reader.ts'
import { isRefusal, KubeRefusal, KubeUnreachable } from './refusal.ts'
import { pathOf, type Resource, type Selection, selectorsOf } from './resource.ts'

// One list and one watch of the Kubernetes API ("Efficient detection of changes", API concepts).
// What to do after they fail is the reflector's to decide.

/** A version of a collection; only the server knows what is in it. */
export type ResourceVersion = string

export type WatchEvent =
  | { readonly kind: 'put'; readonly object: unknown }
  | { readonly kind: 'deleted'; readonly object: unknown }
  /** Nothing changed up to here. */
  | { readonly kind: 'bookmark' }
  /** An object changed in what does not matter here. */
  | { readonly kind: 'noise' }

/** How long to wait for whom; tests have less patience. */
export type Patience = {
  /** A list without a byte for so long is given up. */
  readonly listIdleMs: number
  /** Servers send a bookmark about every minute; two missed ones are a dead connection. */
  readonly watchIdleMs: number
  /** Shortest time for which a watch is asked; up to twice as long, so that not all end at once. */
  readonly watchSeconds: number
}

export const defaultPatience: Patience = {
  listIdleMs: 30_000,
  watchIdleMs: 130_000,
  watchSeconds: 300,
}

export type Collection = {
  readonly client: KubeClient
  readonly resource: Resource
  readonly selection: Selection
  readonly patience: Patience
  readonly signal: AbortSignal
}

/** Objects a page: client-go's, and 5,000 nodes are ten pages of 6 MB. */
const pageObjects = 500
/** A cluster has 5,000 nodes and 150,000 pods; more pages than this are a server gone mad. */
const pagesMax = 10_000
const listDeadlineMs = 300_000

/**
 * Reads the whole collection, page by page, each object as it comes in. Throws KubeRefusal 410 if
 * the pages expired meanwhile; what came until then is then no list.
 */
export async function listAll(
  collection: Collection,
  {
    onObject,
    limit = pageObjects,
  }: { onObject: (object: unknown, text: string) => void; limit?: number },
): Promise<ResourceVersion> {
  const path = pathOf(collection.resource, collection.selection)
  let next: string | undefined
  for (let pages = 0; pages < pagesMax; pages++) {
    const reader = new ListReader((text) => onObject(JSON.parse(text), text))
    const query = {
      ...selectorsOf(collection.selection),
      limit: limit || undefined,
      continue: next,
    }
    await collection.client.stream(
      { method: 'GET', path, query },
      {
        signal: collection.signal,
        idleMs: collection.patience.listIdleMs,
        deadlineMs: listDeadlineMs,
        onChunk: (chunk) => reader.push(chunk),
      },
    )
    const metadata = fieldOf(endOf(reader, path), 'metadata')
    const version = textOf(fieldOf(metadata, 'resourceVersion')) ?? ''
    next = textOf(fieldOf(metadata, 'continue')) || undefined
    if (version === '') throw new KubeUnreachable(`list ${path}`, 'it has no resourceVersion')
    if (next === undefined) return version
  }
  throw new KubeUnreachable(`list ${path}`, `it has more than ${pagesMax} pages`)
}

function endOf(reader: ListReader, path: string): unknown {
  try {
    return reader.end()
  } catch (cause) {
    throw new KubeUnreachable(`list ${path}`, String(cause), { cause })
  }
}

/**
 * Follows the collection from a version on, until the server ends the watch, which is no fault.
 * Throws what ends it otherwise; KubeRefusal 410 also for an ERROR event within the stream.
 */
export async function watchFrom(
  collection: Collection,
  given: {
    readonly version: ResourceVersion
    /** 0 ≤ x < 1 */
    readonly chance: number
    readonly onEvent: (event: WatchEvent, version: ResourceVersion) => void
    /** Tells events whose objects need not be parsed; they are told as `noise`. */
    readonly isNoise?: (text: string) => ResourceVersion | undefined
    readonly onConnected: () => void
  },
): Promise<void> {
  const { client, resource, selection, patience, signal } = collection
  const path = pathOf(resource, selection)
  const seconds = Math.ceil(patience.watchSeconds * (1 + given.chance))
  const query = {
    ...selectorsOf(selection),
    watch: true,
    allowWatchBookmarks: true,
    resourceVersion: given.version,
    timeoutSeconds: seconds,
  }
  const lines = new LineSplitter((line) => {
    const noise = given.isNoise?.(line)
    if (noise !== undefined) {
      given.onEvent({ kind: 'noise' }, noise)
      return
    }
    const [event, version] = decodeEvent(line, path)
    given.onEvent(event, version)
  })
  await client.stream(
    { method: 'GET', path, query },
    {
      signal,
      idleMs: patience.watchIdleMs,
      // A server that forgets to end the watch.
      deadlineMs: (seconds + 30) * 1000,
      onConnected: given.onConnected,
      onChunk: (chunk: Buffer) => lines.push(chunk),
    },
  )
}

function decodeEvent(line: string, path: string): readonly [WatchEvent, ResourceVersion] {
  const what = `watch ${path}`
  const event = parseEvent(line, what)
  const object = fieldOf(event, 'object')
  const type = fieldOf(event, 'type')
  if (type === 'ERROR') {
    const status = fieldOf(object, 'code')
    throw new KubeRefusal(what, { status: typeof status === 'number' ? status : 0, body: object })
  }
  const version = textOf(at(object, 'metadata', 'resourceVersion')) ?? ''
  if (version === '') throw new DamagedWatch(what, 'an event has no resourceVersion')
  if (type === 'BOOKMARK') return [{ kind: 'bookmark' }, version]
  if (type === 'DELETED') return [{ kind: 'deleted', object }, version]
  if (type === 'ADDED' || type === 'MODIFIED') return [{ kind: 'put', object }, version]
  throw new DamagedWatch(what, `an event's type is ${JSON.stringify(type)?.slice(0, 40)}`)
}

function parseEvent(line: string, what: string): unknown {
  try {
    return JSON.parse(line)
  } catch (cause) {
    throw new DamagedWatch(what, 'an event is not JSON', { cause })
  }
}

/** What was sent can't be understood: an event may be lost, so only a new list helps. */
export class DamagedWatch extends KubeUnreachable {}

/**
 * Whether a watch can't go on from its version: it is too old (410), or no version of this server's
 * at all, as after a restored backup (400; 504 with a version "too large").
 */
export const needsNewList = (fault: unknown): boolean =>
  fault instanceof DamagedWatch || isRefusal(fault, 400, 404, 410, 504)
