/**
 * What became of calls: answered as asked, answered with an error, or left to a process of their
 * own because the worker could not do them.
 */
export const callOutcomes = ['served', 'failed', 'left'] as const
export type CallOutcome = (typeof callOutcomes)[number]
export type CallCounts = Readonly<Record<CallOutcome, number>>

/** Counts in memory that two threads share: the one that serves calls, and the one that tells. */
export class CallTally {
  readonly memory: SharedArrayBuffer
  readonly #counts: Uint32Array

  constructor(memory = new SharedArrayBuffer(callOutcomes.length * Uint32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory
    this.#counts = new Uint32Array(memory)
  }

  count(outcome: CallOutcome): void {
    Atomics.add(this.#counts, callOutcomes.indexOf(outcome), 1)
  }

  get counts(): CallCounts {
    const [served = 0, failed = 0, left = 0] = this.#counts
    return { served, failed, left }
  }
}
