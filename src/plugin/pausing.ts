/**
 * Work that sometimes has to wait: each value that it yields is for how many milliseconds, at most,
 * before it looks again. Who runs it decides what happens meanwhile: a process of one call sleeps,
 * the worker goes on with others.
 */
export type Pausing<T> = Generator<number, T, void>

/** Runs it to its end on this thread, asleep in its pauses. */
export function runToEnd<T>(work: Pausing<T>): T {
  const never = new Int32Array(new SharedArrayBuffer(4))
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
    Atomics.wait(never, 0, 0, value)
  }
}

/** Monotonic. Not `performance`: Node loads 2 ms of modules when it is first named. */
export const nanosecondsNow = (): bigint => process.hrtime.bigint()

/** Work that never waits. */
// biome-ignore lint/correctness/useYield: it is a Pausing all the same
export function* withoutPause<T>(work: () => T): Pausing<T> {
  return work()
}
