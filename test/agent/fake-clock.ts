import type { Clock } from '../../src/agent/clock.ts'

type Timer = { readonly at: number; readonly order: number; readonly wake: () => void }

/** Time that passes when the test says so; timers fire in the order of their times. */
export class FakeClock implements Clock {
  #now = 0
  #order = 0
  readonly #timers = new Set<Timer>()

  readonly now = (): number => this.#now
  readonly date = (): number => 1_700_000_000_000 + this.#now
  readonly after = (milliseconds: number, wake: () => void): (() => void) => {
    const timer = { at: this.#now + milliseconds, order: this.#order++, wake }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  get waiting(): number {
    return this.#timers.size
  }

  /** Lets so much time pass, with everything that is due on the way, and what it awaits. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds
    await settled()
    for (;;) {
      const next = [...this.#timers]
        .filter(({ at }) => at <= end)
        .toSorted((left, right) => left.at - right.at || left.order - right.order)[0]
      if (!next) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.wake()
      await settled()
    }
    this.#now = end
  }
}

/** Everything that waited for promises alone has gone on. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
