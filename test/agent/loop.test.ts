import fc from 'fast-check'
import { test } from 'tap'
import { Loop, type LoopOptions, type RunKind } from '../../src/agent/loop.ts'
import { FakeClock } from './fake-clock.ts'

type Run = { readonly at: number; readonly kind: RunKind }

function loopOn(clock: FakeClock, options: Partial<LoopOptions> = {}) {
  const runs: Run[] = []
  const errors: string[] = []
  const { work = () => undefined, ...rest } = options
  const loop = new Loop({
    name: 'a loop',
    clock,
    random: () => 0.5,
    gapMilliseconds: 100,
    retryMilliseconds: 1000,
    retryMillisecondsMax: 8000,
    onError: (name, error, failures) => errors.push(`${name} ${failures}: ${String(error)}`),
    ...rest,
    work: (kind) => {
      runs.push({ at: clock.now(), kind })
      return work(kind)
    },
  })
  return { loop, runs, errors }
}
const timesOf = (runs: readonly Run[]): readonly number[] => runs.map(({ at }) => at)

test('nothing runs that nobody asked for', async (t) => {
  const clock = new FakeClock()
  const { runs } = loopOn(clock, { resyncMilliseconds: 30_000 })
  await clock.pass(100_000)
  t.same(runs, [])
})

test('marks of one moment become one run, later ones wait for the gap', async (t) => {
  const clock = new FakeClock()
  const { loop, runs } = loopOn(clock)
  for (let at = 0; at < 50; at++) loop.mark()
  await clock.pass(10)
  for (let at = 0; at < 50; at++) loop.mark()
  await clock.pass(1000)
  t.same(timesOf(runs), [0, 100])
})

test('a mark during a run leads to another run, and runs never overlap', async (t) => {
  const clock = new FakeClock()
  let [going, most] = [0, 0]
  const { loop, runs } = loopOn(clock, {
    work: async () => {
      most = Math.max(most, ++going)
      await new Promise<void>((resolve) => clock.after(500, resolve))
      going--
    },
  })
  loop.mark()
  await clock.pass(250)
  loop.mark()
  await clock.pass(5000)
  t.same(timesOf(runs), [0, 600])
  t.equal(most, 1)
})

test('a failed run is tried again, ever later up to the limit, and counted', async (t) => {
  const clock = new FakeClock()
  const { loop, runs, errors } = loopOn(clock, {
    work: () => {
      throw new Error('no')
    },
  })
  loop.mark()
  await clock.pass(20_000)
  // 3/4 of 1, 2, 4, 8, 8 seconds: the jitter's middle
  t.same(timesOf(runs), [0, 750, 2250, 5250, 11_250, 17_250])
  t.equal(errors[1], 'a loop 2: Error: no')
  t.match(loop.status, { runs: 6, errors: 6, failuresInRow: 6 })
})

test('the first run that succeeds ends the retries', async (t) => {
  const clock = new FakeClock()
  let left = 2
  const { loop, runs } = loopOn(clock, {
    work: async () => {
      if (left-- > 0) throw new Error('no')
    },
  })
  loop.mark()
  await clock.pass(60_000)
  t.equal(runs.length, 3)
  t.match(loop.status, { errors: 2, failuresInRow: 0 })
})

test('a mark does not wait for the delay of a retry', async (t) => {
  const clock = new FakeClock()
  let left = 4
  const { loop, runs } = loopOn(clock, {
    work: () => {
      if (left-- > 0) throw new Error('no')
    },
  })
  loop.mark()
  await clock.pass(5300)
  loop.mark()
  await clock.pass(60_000)
  t.same(timesOf(runs), [0, 750, 2250, 5250, 5350], 'and its success makes the retry needless')
})

test('a resync comes by itself, counted from the last', async (t) => {
  const clock = new FakeClock()
  const { loop, runs } = loopOn(clock, { resyncMilliseconds: 30_000 })
  loop.mark()
  await clock.pass(29_000)
  loop.mark()
  await clock.pass(40_000)
  t.same(runs, [
    { at: 0, kind: 'marked' },
    { at: 29_000, kind: 'marked' },
    { at: 30_000, kind: 'resync' },
    { at: 60_000, kind: 'resync' },
  ])
})

test('a resync that failed is not made good by less', async (t) => {
  const clock = new FakeClock()
  let fails = 1
  const { loop, runs } = loopOn(clock, {
    work: () => {
      if (fails-- > 0) throw new Error('no')
    },
  })
  loop.markAll()
  await clock.pass(50)
  loop.mark()
  await clock.pass(5000)
  t.same(
    runs.map(({ kind }) => kind),
    ['resync', 'resync'],
  )
})

test('after stop nothing starts, and stop waits for what goes on', async (t) => {
  const clock = new FakeClock()
  let isDone = false
  const { loop, runs } = loopOn(clock, {
    resyncMilliseconds: 1000,
    work: async () => {
      await new Promise<void>((resolve) => clock.after(500, resolve))
      isDone = true
    },
  })
  loop.mark()
  await clock.pass(100)
  loop.mark()
  const stopped = loop.stop().then(() => isDone)
  await clock.pass(10_000)
  t.equal(await stopped, true)
  t.equal(runs.length, 1)
  t.equal(clock.waiting, 0)
})

type Happening = Readonly<{ wait: number; act: 'mark' | 'markAll'; fails: boolean; takes: number }>
const happenings: fc.Arbitrary<readonly Happening[]> = fc.array(
  fc.record({
    wait: fc.integer({ min: 0, max: 3000 }),
    act: fc.constantFrom('mark', 'markAll'),
    fails: fc.boolean(),
    takes: fc.integer({ min: 0, max: 400 }),
  }),
  { minLength: 1, maxLength: 12 },
)

test('whatever happens: runs keep their distance, no mark is lost, and all ends clean', (t) =>
  fc
    .assert(
      fc.asyncProperty(happenings, async (list) => {
        const clock = new FakeClock()
        const outcomes = [...list]
        const spans: { from: number; to: number; ok: boolean; kind: RunKind }[] = []
        const { loop } = loopOn(clock, {
          work: async (kind) => {
            const from = clock.now()
            const { fails = false, takes = 0 } = outcomes.shift() ?? {}
            if (takes > 0) await new Promise<void>((resolve) => clock.after(takes, resolve))
            spans.push({ from, to: clock.now(), ok: !fails, kind })
            if (fails) throw new Error('no')
          },
        })
        const marks: { at: number; act: Happening['act'] }[] = []
        for (const { wait, act } of list) {
          await clock.pass(wait)
          loop[act]()
          marks.push({ at: clock.now(), act })
        }
        await clock.pass(1_000_000)
        const isSpaced = spans.every(
          ({ from }, at) => at === 0 || from - (spans[at - 1]?.to ?? 0) >= 100,
        )
        const isServed = marks.every(({ at, act }) =>
          spans.some(
            ({ from, ok, kind }) => from >= at && ok && (act === 'mark' || kind === 'resync'),
          ),
        )
        return isSpaced && isServed && loop.status.failuresInRow === 0 && clock.waiting === 0
      }),
      { numRuns: 60 },
    )
    .then(() => t.pass()))
