import type { KubeClient } from './client.ts'
import type { GistOf } from './gist.ts'
import type { Patience, ResourceVersion } from './list-watch.ts'
import type { Resource, Selection } from './resource.ts'
import type { Time } from './time.ts'

// What a reflector is asked for, and what it tells.

/** `key` is "name" or "namespace/name". `all` comes for every complete list, and only for those. */
export type Reflected<Item> =
  | { readonly kind: 'all'; readonly items: ReadonlyMap<string, Item> }
  | { readonly kind: 'changed'; readonly key: string; readonly item: Item }
  | { readonly kind: 'gone'; readonly key: string }

export type ReflectorOptions<Item> = {
  readonly client: KubeClient
  readonly resource: Resource
  readonly selection?: Selection
  /** What is kept of an object; undefined if it is of no interest. The object itself is dropped. */
  readonly select: (object: unknown) => Item | undefined
  readonly isSame: (left: Item, right: Item) => boolean
  /** Equal gists, equal items: an event that tells nothing new is not even parsed. */
  readonly gistOf?: GistOf
  /** Called synchronously, one after the other. What it throws leads to a new list. */
  readonly onNews: (news: Reflected<Item>) => void
  /** All that the server had up to this version has been told; bookmarks are not worth a word. */
  readonly onVersion?: (version: ResourceVersion) => void
  /**
   * Absent: the resource has to be served. A server that does not know it (404) has none of it, and
   * is asked again after minutes: somebody may install its CustomResourceDefinition.
   */
  readonly absence?: 'allowed'
  /** Each failed try, for the log. */
  readonly onProblem?: (problem: Error) => void
  /** Something works: for the first time, or again after a problem. */
  readonly onWell?: () => void
  readonly time?: Time
  readonly patience?: Patience
}

export type ReflectorStatus = {
  /** A watch stands. */
  readonly connected: boolean
  /** Clock of Time.nowMs; undefined before the first byte. */
  readonly lastContactMs: number | undefined
  /** Complete lists. */
  readonly lists: number
  readonly watches: number
  /** Failed tries since the start. */
  readonly errors: number
  /** The last failure, as long as nothing has worked since. */
  readonly lastError: string | undefined
  readonly objects: number
}
