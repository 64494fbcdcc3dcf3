/** Time as the loops see it; tests bring their own. */
export type Clock = {
  /** Milliseconds of a clock that is never set back. */
  readonly now: () => number
  /** Calls `wake` once, after so many milliseconds; the answer takes it back. */
  readonly after: (milliseconds: number, wake: () => void) => () => void
  /** Milliseconds since 1970, for people. */
  readonly date: () => number
}

/** The machine's. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after: (milliseconds, wake) => {
    const timer = setTimeout(wake, milliseconds)
    return () => clearTimeout(timer)
  },
  date: () => Date.now(),
}

/** The same, but what is due now does not wait for a timer, which takes a millisecond at least. */
export const brisk = (clock: Clock): Clock => ({
  ...clock,
  after: (milliseconds, wake) => {
    if (milliseconds > 0) return clock.after(milliseconds, wake)
    const soon = setImmediate(wake)
    return () => clearImmediate(soon)
  },
})
