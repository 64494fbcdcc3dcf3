/** What is kept of a row of times. */
export type Summary = {
  readonly count: number
  readonly min: number
  readonly p50: number
  readonly p95: number
  readonly mean: number
}

/** The range in which 95 of 100 repetitions of the run would put a figure. */
export type Interval = { readonly low: number; readonly high: number }

/** `undefined` for no samples: a figure of nothing is no figure. */
export function summarise(samples: readonly number[]): Summary | undefined {
  if (samples.length === 0) return undefined
  const sorted = ascending(samples)
  return {
    count: sorted.length,
    min: sorted[0]!,
    p50: quantileOfSorted(sorted, 0.5),
    p95: quantileOfSorted(sorted, 0.95),
    mean: sorted.reduce((sum, sample) => sum + sample, 0) / sorted.length,
  }
}

/** Half of the samples are below it; the mean of the middle two when their number is even. */
export const median = (samples: readonly number[]): number =>
  quantileOfSorted(ascending(samples), 0.5)

const ascending = (samples: readonly number[]): number[] => [...samples].sort((a, b) => a - b)

/** Linear between neighbours: type 7 of Hyndman and Fan 1996, the default of R and NumPy. */
function quantileOfSorted(sorted: readonly number[], share: number): number {
  const position = (sorted.length - 1) * share
  const below = Math.floor(position)
  const low = sorted[below] ?? Number.NaN
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? Number.NaN
  return low + (high - low) * (position - below)
}

/** Resamplings of a bootstrap; 1,000 settle the second digit of the ends. */
const resamplings = 1000

/**
 * Bootstrap interval of a figure of two medians: both rows are drawn again with replacement, the
 * figure is computed of each draw, and the middle 95 of 100 are kept. Same rows, same interval.
 */
export function bootstrap(
  figure: (left: number, right: number) => number,
  left: readonly number[],
  right: readonly number[],
): Interval {
  const random = randomFrom(1)
  const figures: number[] = []
  for (let draw = 0; draw < resamplings; draw++)
    figures.push(figure(median(drawAgain(left, random)), median(drawAgain(right, random))))
  const sorted = ascending(figures)
  return { low: quantileOfSorted(sorted, 0.025), high: quantileOfSorted(sorted, 0.975) }
}

const drawAgain = (samples: readonly number[], random: () => number): number[] =>
  samples.map(() => samples[Math.floor(random() * samples.length)]!)

/** xorshift32 (Marsaglia 2003): 0 ≤ x < 1. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
