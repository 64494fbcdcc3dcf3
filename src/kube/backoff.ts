/** Bounds of the first waiting time and of the longest: 5,000 nodes come back over 30 s. */
const shortestMs = 200
const longestMs = 30_000

/**
 * Exponential backoff with full jitter: anything from zero to a bound that doubles with every
 * failure in a row.
 */
export class Backoff {
  #failures = 0
  readonly #random: () => number

  constructor(random: () => number) {
    this.#random = random
  }

  /** How long to wait after one more failure. */
  nextMs(): number {
    const bound = Math.min(longestMs, shortestMs * 2 ** Math.min(this.#failures, 30))
    this.#failures++
    return this.#random() * bound
  }

  reset(): void {
    this.#failures = 0
  }
}
