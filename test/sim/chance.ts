/** Numbers that follow from a seed alone (mulberry32): the same seed, the same run. */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 ≤ x < 1 */
  next = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** True `share` of the time. */
  happens = (share: number): boolean => this.next() < share

  /** 0 … below − 1 */
  below = (below: number): number => Math.floor(this.next() * below)

  /** One of them; undefined of none. */
  of = <T>(items: readonly T[]): T | undefined => items[this.below(items.length)]

  /** A generator of its own, so that one part's draws do not shift another's. */
  fork = (): Chance => new Chance(Math.floor(this.next() * 2 ** 32))
}
