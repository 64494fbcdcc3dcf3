import type { DriftStatus } from '../serve/agent-status.ts'
import type { Clock } from './clock.ts'

/** What somebody else changed and the agent put back: counted by kind, the last one in words. */
export class Drift {
  readonly #clock: Clock
  readonly #byKind = new Map<string, number>()
  readonly #onRepair: (kind: string, what: string, count: number) => void
  #repairs = 0
  #last: DriftStatus['lastRepair']

  constructor(clock: Clock, onRepair: (kind: string, what: string, count: number) => void) {
    this.#clock = clock
    this.#onRepair = onRepair
  }

  get status(): DriftStatus {
    return {
      repairs: this.#repairs,
      byKind: Object.fromEntries([...this.#byKind].toSorted()),
      ...(this.#last ? { lastRepair: this.#last } : {}),
    }
  }

  /** Several repairs of one kind at once: `what` tells the first of them. */
  repaired(kind: string, what: string, count = 1): void {
    this.#repairs += count
    this.#byKind.set(kind, (this.#byKind.get(kind) ?? 0) + count)
    this.#last = { at: new Date(this.#clock.date()).toISOString(), what }
    this.#onRepair(kind, what, count)
  }
}
