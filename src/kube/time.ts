import { setTimeout as delay } from 'node:timers/promises'

/** Clock and chance as arguments, so that a test or a simulation decides both. */
export type Time = {
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number
  /** Wall clock, for what other machines read. */
  readonly date: () => Date
  /** Resolves after that long, or at once when the signal aborts; never rejects. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>
  /** 0 ≤ x < 1 */
  readonly random: () => number
}

export const systemTime: Time = {
  nowMs: () => performance.now(),
  date: () => new Date(),
  sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
  random: () => Math.random(),
}
