import t from 'tap'
import { bootstrap, median, summarise } from './statistics.ts'

for (const row of [
  { why: 'odd number of samples', samples: [3, 1, 2], want: 2 },
  { why: 'even number: mean of the middle two', samples: [4, 1, 3, 2], want: 2.5 },
  { why: 'one sample', samples: [7], want: 7 },
  { why: 'numbers sort as numbers', samples: [10, 9, 100], want: 10 },
])
  t.test(`median: ${row.why}`, async (t) => t.equal(median(row.samples), row.want))

t.test('summarise agrees with what R says of 1 to 20', async (t) => {
  // R: quantile(1:20, c(.5, .95)) is 10.5 and 19.05; mean 10.5
  const samples = Array.from({ length: 20 }, (_, place) => 20 - place)
  const summary = summarise(samples)!
  t.equal(summary.count, 20)
  t.equal(summary.min, 1)
  t.equal(summary.p50, 10.5)
  t.ok(Math.abs(summary.p95 - 19.05) < 1e-9)
  t.equal(summary.mean, 10.5)
})

t.test('summarise does not reorder what it is given', async (t) => {
  const samples = [3, 1, 2]
  summarise(samples)
  t.same(samples, [3, 1, 2])
})

t.test('summarise says nothing of no samples', async (t) => t.equal(summarise([]), undefined))

const ratio = (left: number, right: number): number => left / right

t.test('bootstrap of rows without spread is the figure itself', async (t) =>
  t.same(bootstrap(ratio, [2, 2, 2], [4, 4]), { low: 0.5, high: 0.5 }),
)

t.test('bootstrap holds the true ratio, and gets narrower with more samples', async (t) => {
  const spread = (count: number): number[] =>
    Array.from({ length: count }, (_, place) => 10 + Math.sin(place * 7.3))
  const few = bootstrap(ratio, spread(8), spread(9))
  const many = bootstrap(ratio, spread(200), spread(201))
  t.ok(few.low < 1 && few.high > 1)
  t.ok(many.low < 1 && many.high > 1)
  t.ok(many.high - many.low < few.high - few.low)
})

t.test('bootstrap of the same rows is the same', async (t) => {
  const left = Array.from({ length: 30 }, (_, place) => 20 + Math.sin(place * 3.7))
  const right = Array.from({ length: 31 }, (_, place) => 10 + Math.cos(place * 2.9))
  t.same(bootstrap(ratio, left, right), bootstrap(ratio, left, right))
})
