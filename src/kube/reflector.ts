import { Backoff } from './backoff.ts'
import { GistBook, isOfObject } from './gist.ts'
import {
  type Collection,
  defaultPatience,
  listAll,
  needsNewList,
  type ResourceVersion,
  type WatchEvent,
  watchFrom,
} from './list-watch.ts'
import type { Reflected, ReflectorOptions, ReflectorStatus } from './reflected.ts'
import { isRefusal } from './refusal.ts'
import { keyOf } from './resource.ts'
import { systemTime, type Time } from './time.ts'

/**
 * A watch that ends sooner than this without an event counts as a failure, and a list does not undo
 * failures: whatever a server does, it is not asked in a hot loop.
 */
const shortWatchMs = 1000
/** Between looks for a resource that was not served; up to twice as long. */
const absentMs = 120_000
/**
 * A server that starts may not know yet what it serves: objects that were there are taken for gone
 * after so many such answers in a row.
 */
const absentAnswersMin = 4
/** After so many lists whose pages expired half-way the next one is asked for in one page. */
const expiredListsMax = 2

/**
 * Keeps a trimmed copy of a collection equal to the server's: list, then watch; a dropped watch
 * goes on from its version, and only an expired one makes it list again. It never gives up, and
 * never forgets what it knows because of a failure.
 */
export class Reflector<Item> {
  readonly #options: ReflectorOptions<Item>
  readonly #collection: Collection
  readonly #time: Time
  readonly #backoff: Backoff
  readonly #stopping = new AbortController()
  #known = new Map<string, Item>()
  readonly #gists = new GistBook()
  /** Where to watch from; undefined: list first. */
  #version: ResourceVersion | undefined
  #expiredLists = 0
  #absentAnswers = 0
  #counts = { lists: 0, watches: 0, errors: 0 }
  #connected = false
  /** The last try did not fail. */
  #isWell = false
  /** A watch's version was too old, and no watch has lasted since. */
  #hasExpired = false
  #lastContactMs: number | undefined
  #lastError: string | undefined
  #running: Promise<void> | undefined

  constructor(options: ReflectorOptions<Item>) {
    const { client, resource, selection = {}, patience = defaultPatience, time } = options
    this.#options = options
    this.#time = time ?? systemTime
    this.#backoff = new Backoff(this.#time.random)
    this.#collection = { client, resource, selection, patience, signal: this.#stopping.signal }
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** No news after this. The promise is for those who want to see the connection closed. */
  stop(): Promise<void> {
    this.#stopping.abort()
    return this.#running ?? Promise.resolve()
  }

  status(): ReflectorStatus {
    return {
      connected: this.#connected,
      lastContactMs: this.#lastContactMs,
      ...this.#counts,
      lastError: this.#lastError,
      objects: this.#known.size,
    }
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    while (!this.#isStopping()) {
      try {
        this.#version ??= await this.#list()
        await this.#watch(this.#version)
      } catch (fault) {
        if (this.#isStopping()) return
        if (this.#isAbsent(fault)) await this.#waitForIt()
        else await this.#failed(fault)
      }
    }
  }

  #isAbsent(fault: unknown): boolean {
    const isAbsence = this.#options.absence === 'allowed' && isRefusal(fault, 404)
    this.#absentAnswers = isAbsence ? this.#absentAnswers + 1 : 0
    return isAbsence && (this.#known.size === 0 || this.#absentAnswers >= absentAnswersMin)
  }

  async #waitForIt(): Promise<void> {
    this.#version = undefined
    this.#known = new Map()
    this.#backoff.reset()
    this.#worked()
    try {
      this.#tell({ kind: 'all', items: new Map() })
    } catch (fault) {
      await this.#failed(fault)
      return
    }
    await this.#time.sleep(absentMs * (1 + this.#time.random()), this.#stopping.signal)
  }

  async #list(): Promise<ResourceVersion> {
    const items = new Map<string, Item>()
    this.#gists.clear()
    const onObject = (object: unknown, text: string): void => {
      this.#touched()
      this.#keepGist(text)
      const key = keyOf(object)
      const item = key === undefined ? undefined : this.#options.select(object)
      if (key !== undefined && item !== undefined) items.set(key, item)
    }
    const limit = this.#expiredLists >= expiredListsMax ? { limit: 0 } : {}
    const version = await listAll(this.#collection, { onObject, ...limit })
    this.#expiredLists = 0
    this.#known = items
    this.#absentAnswers = 0
    this.#counts.lists++
    this.#worked()
    // A listener may keep the map; ours goes on changing.
    this.#tell({ kind: 'all', items: new Map(items) })
    this.#options.onVersion?.(version)
    return version
  }

  async #watch(version: ResourceVersion): Promise<void> {
    const startedMs = this.#time.nowMs()
    const hasLasted = (): boolean => this.#time.nowMs() - startedMs >= shortWatchMs
    let heard = false
    try {
      await watchFrom(this.#collection, {
        version,
        chance: this.#time.random(),
        isNoise: (text) => this.#noiseVersion(text),
        onConnected: () => {
          this.#connected = true
          this.#counts.watches++
          this.#worked()
        },
        onEvent: (event, next) => {
          heard ||= event.kind !== 'bookmark'
          this.#worked()
          if (heard || hasLasted()) this.#stands()
          this.#apply(event)
          this.#version = next
          if (event.kind !== 'bookmark') this.#options.onVersion?.(next)
        },
      })
    } finally {
      this.#connected = false
      if (hasLasted()) this.#stands()
    }
    if (!heard && !hasLasted()) throw new Error('Cannot watch: the server ended the watch at once')
  }

  /** What is not noise is about to be parsed, and is known then. */
  #noiseVersion(text: string): ResourceVersion | undefined {
    const { gistOf } = this.#options
    if (!gistOf || !isOfObject(text)) return undefined
    const gist = gistOf(text)
    // Of which object it is can't be told: of each the gist may be outdated.
    if (!gist) this.#gists.clear()
    else if (this.#gists.isKnown(gist)) return gist.version
    else this.#gists.keep(gist)
    return undefined
  }

  #keepGist(text: string): void {
    const gist = this.#options.gistOf?.(text)
    if (gist) this.#gists.keep(gist)
  }

  #apply(event: WatchEvent): void {
    if (event.kind === 'bookmark' || event.kind === 'noise') return
    const key = keyOf(event.object)
    if (key === undefined) return
    const item = event.kind === 'put' ? this.#options.select(event.object) : undefined
    const before = this.#known.get(key)
    if (item === undefined) {
      if (this.#known.delete(key)) this.#tell({ kind: 'gone', key })
      return
    }
    if (before !== undefined && this.#options.isSame(before, item)) return
    this.#known.set(key, item)
    this.#tell({ kind: 'changed', key, item })
  }

  #tell(news: Reflected<Item>): void {
    if (this.#isStopping()) return
    try {
      this.#options.onNews(news)
    } catch (fault) {
      // The listener may have missed it, so it gets everything once more.
      this.#version = undefined
      throw fault
    }
  }

  async #failed(fault: unknown): Promise<void> {
    const problem = fault instanceof Error ? fault : new Error(String(fault))
    const isListing = this.#version === undefined
    if (isRefusal(fault, 410)) {
      if (isListing) this.#expiredLists++
      else this.#expired()
    }
    if (needsNewList(fault)) this.#version = undefined
    this.#counts.errors++
    this.#isWell = false
    this.#lastError = problem.message
    const asked = isRefusal(fault, 429, 503) ? (fault.retryAfterSeconds ?? 0) * 1000 : 0
    const waitMs = Math.max(this.#backoff.nextMs(), Math.min(asked, retryAfterMaxMs))
    this.#report(problem)
    await this.#time.sleep(waitMs, this.#stopping.signal)
  }

  #stands(): void {
    this.#hasExpired = false
    this.#backoff.reset()
  }

  /** Whoever says so has time for a list: how long it was away is no reason to wait for it. */
  #expired(): void {
    if (!this.#hasExpired) this.#backoff.reset()
    this.#hasExpired = true
  }

  #report(problem: Error): void {
    try {
      this.#options.onProblem?.(problem)
    } catch {
      // A log that fails must not stop the watch.
    }
  }

  #touched(): void {
    this.#lastContactMs = this.#time.nowMs()
  }

  #worked(): void {
    this.#touched()
    this.#lastError = undefined
    if (this.#isWell) return
    this.#isWell = true
    this.#options.onWell?.()
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted
  }
}

/** A server's Retry-After is heeded up to here. */
const retryAfterMaxMs = 60_000
