import type { LoopStatus } from '../serve/agent-status.ts'
import type { Clock } from './clock.ts'

/** `resync`: look at everything, whatever was marked. */
export type RunKind = 'marked' | 'resync'

export type LoopOptions = {
  readonly name: string
  /**
   * Makes the world what it should be. What it throws leaves the loop stale: it is run again, and
   * has to know by itself what is still to be done.
   */
  readonly work: (kind: RunKind) => void | Promise<void>
  readonly clock: Clock
  /** 0 ≤ x < 1, for the jitter of retries: a whole cluster must not come back at once. */
  readonly random: () => number
  /** Between the end of a run and the start of the next; may follow from how long that run took. */
  readonly gapMilliseconds: number | ((lastMilliseconds: number) => number)
  /** After the first failure; doubled for each further one. */
  readonly retryMilliseconds: number
  readonly retryMillisecondsMax: number
  /** Between the end of a resync and the start of the next; absent: none. */
  readonly resyncMilliseconds?: number
  readonly onError: (name: string, error: unknown, failuresInRow: number) => void
}

/** What all loops of an agent have in common. */
export type SharedOptions = Pick<LoopOptions, 'clock' | 'random' | 'onError'>

/** Of a concern's own options, those that its loop shares with all others. */
export const sharedOf = ({ clock, random, onError }: SharedOptions): SharedOptions => ({
  clock,
  random,
  onError,
})

/**
 * One concern of the agent: many marks become one run, runs never overlap and keep a distance, a
 * failed one is tried again, and every so often all is looked at even if nobody said a word.
 *
 * A mark that comes during a run leads to another run. A mark that comes while a retry waits is
 * served after the gap and not after the retry's delay: one peer that can't be reached must not
 * hold up the others.
 */
export class Loop {
  readonly #options: LoopOptions
  #isMarked = false
  #running: Promise<void> | undefined
  #isStopped = false
  #cancelTimer: (() => void) | undefined
  #endedAt = Number.NEGATIVE_INFINITY
  #retryAt = Number.POSITIVE_INFINITY
  #resyncAt = Number.POSITIVE_INFINITY
  /** What failed last: a failed resync is not made good by a run that looks at less. */
  #owed: RunKind | undefined
  #failuresInRow = 0
  #runs = 0
  #errors = 0
  #lastSeconds: number | undefined

  constructor(options: LoopOptions) {
    this.#options = options
  }

  get status(): LoopStatus {
    return {
      name: this.#options.name,
      runs: this.#runs,
      errors: this.#errors,
      failuresInRow: this.#failuresInRow,
      ...(this.#lastSeconds === undefined ? {} : { lastSeconds: this.#lastSeconds }),
    }
  }

  /** Something may have changed: there will be a run that starts after this call. */
  mark(): void {
    this.#isMarked = true
    this.#schedule()
  }

  /** As `mark`, for a run that looks at everything. */
  markAll(): void {
    this.#owed = 'resync'
    this.mark()
  }

  /** No run starts any more; resolves when the one that goes on has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelTimer?.()
    await this.#running
  }

  #schedule(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    if (this.#isStopped || this.#running) return
    const { clock } = this.#options
    const soonest = this.#endedAt + this.#gap()
    const marked = this.#isMarked ? soonest : Number.POSITIVE_INFINITY
    const due = Math.max(soonest, Math.min(marked, this.#retryAt, this.#resyncAt))
    if (due === Number.POSITIVE_INFINITY) return
    this.#cancelTimer = clock.after(Math.max(0, due - clock.now()), () => this.#start())
  }

  #gap(): number {
    const { gapMilliseconds } = this.#options
    if (typeof gapMilliseconds === 'number') return gapMilliseconds
    return gapMilliseconds((this.#lastSeconds ?? 0) * 1000)
  }

  #start(): void {
    this.#cancelTimer = undefined
    if (this.#isStopped || this.#running) return
    const { clock, work } = this.#options
    const startedAt = clock.now()
    const kind = this.#owed === 'resync' || startedAt >= this.#resyncAt ? 'resync' : 'marked'
    this.#isMarked = false
    this.#owed = undefined
    const end = (refusal?: { readonly error: unknown }): void => {
      this.#running = undefined
      this.#finish(kind, startedAt, refusal)
      this.#schedule()
    }
    try {
      const going = work(kind)
      if (going === undefined) end()
      else
        this.#running = going.then(
          () => end(),
          (error: unknown) => end({ error }),
        )
    } catch (error) {
      end({ error })
    }
  }

  #finish(kind: RunKind, startedAt: number, refusal?: { readonly error: unknown }): void {
    const { clock, name, onError, resyncMilliseconds } = this.#options
    this.#endedAt = clock.now()
    this.#runs++
    this.#lastSeconds = (this.#endedAt - startedAt) / 1000
    const wasFirst = this.#resyncAt === Number.POSITIVE_INFINITY
    if (resyncMilliseconds !== undefined && (kind === 'resync' || wasFirst))
      this.#resyncAt = this.#endedAt + resyncMilliseconds
    if (!refusal) {
      this.#failuresInRow = 0
      this.#retryAt = Number.POSITIVE_INFINITY
      return
    }
    this.#errors++
    this.#failuresInRow++
    if (kind === 'resync') this.#owed = 'resync'
    this.#retryAt = this.#endedAt + this.#backoff()
    onError(name, refusal.error, this.#failuresInRow)
  }

  /** Half of it is certain, the other half drawn. */
  #backoff(): number {
    const { retryMilliseconds, retryMillisecondsMax, random } = this.#options
    const doubled = retryMilliseconds * 2 ** Math.min(this.#failuresInRow - 1, 30)
    return Math.min(doubled, retryMillisecondsMax) * (0.5 + random() / 2)
  }
}
