import t from 'tap'
import type { PeerId } from '../cases.ts'
import type { CaseResult, Row } from '../result.ts'
import { summarise } from '../statistics.ts'
import { formatTable, plainPaint } from '../table.ts'
import { burstId, burstVariant, oneByOneId, outfitWords, planWarmCases } from './cases.ts'
import { callsPerSecond, cpuSecondsPer1000, statusSecondsPerDay, warmTables } from './report.ts'

const row = (peer: PeerId, more: Partial<Row> & Pick<Row, 'verb' | 'variant'>): Row => {
  const samples = more.samples ?? [100, 50, 200]
  return {
    ...{ peer, calls: 12, failed: 0, samples, cpuSamples: [8, 4, 6], rssKiB: 1 },
    time: summarise(samples)!,
    ...more,
  }
}

const textOf = (one: Pick<CaseResult, 'id' | 'peers' | 'rows'>): string => {
  const result = { ...one, title: '', rounds: 3, faults: [] }
  const peers = one.peers.map((id) => ({ id, label: id }))
  const tables = warmTables({
    ...{ machine: {}, effort: 'full', peers, cases: [result], targets: [], notRun: [] },
  })
  return tables.map((table) => formatTable(table, plainPaint)).join('\n')
}

t.test(
  'of four at once in 100 ms, 40 a second; 6 ms of CPU time are 1.5 s of a thousand',
  async (t) => {
    const four = row('warm', { verb: 'ADD', variant: '' })
    t.equal(callsPerSecond(four), 40)
    t.equal(cpuSecondsPer1000(four), 1.5)
  },
)

t.test('a millisecond every five seconds is 17.28 s a day', async (t) =>
  t.equal(statusSecondsPerDay(1), 17.28),
)

t.test(
  'bursts: rates, CPU time and its ratio to the warm one; the floor’s rate alone',
  async (t) => {
    const variant = burstVariant('full', 4)
    const text = textOf({
      id: burstId,
      peers: ['warm', 'newest', 'floor'],
      rows: [
        row('warm', { verb: 'ADD', variant }),
        row('newest', { verb: 'ADD', variant, samples: [800, 800, 800], cpuSamples: [60, 60, 60] }),
        row('floor', { verb: 'ADD', variant, samples: [8, 8, 8] }),
      ],
    })
    t.match(text, /^ADD, full, 4 at once +40 \/ 1\.50 +5\.0 \/ 15\.0 +0\.10× +500$/m)
  },
)

t.test('a row with failures has no rate', async (t) => {
  const variant = burstVariant('full', 4)
  const rows = [
    row('warm', { verb: 'ADD', variant, failed: 1 }),
    row('newest', { verb: 'ADD', variant }),
  ]
  t.match(
    textOf({ id: burstId, peers: ['warm', 'newest'], rows }),
    /^ADD, full, 4 at once +– +40 \/ /m,
  )
})

t.test('STATUS by the day', async (t) => {
  const variant = outfitWords.full
  const rows = [
    row('warm', { verb: 'STATUS', variant, cpuSamples: [1] }),
    row('tulle', { verb: 'STATUS', variant, cpuSamples: [25] }),
    row('warm', { verb: 'ADD', variant }),
  ]
  const text = textOf({ id: oneByOneId, peers: ['warm', 'tulle'], rows })
  t.match(text, /^STATUS, full +17\.3 +432$/m)
  t.notMatch(text, 'ADD')
})

t.test('what takes minutes is not in a quick run, and once in a full one', async (t) => {
  const chainsOf = (effort: 'quick' | 'full') =>
    planWarmCases(effort)
      .flatMap((one) => (one.kind === 'warm' ? one.places : []))
      .filter(({ peer, outfit, burst }) => peer === 'newest' && outfit === 'full' && burst === 200)
  t.same(chainsOf('quick'), [])
  t.match(chainsOf('full'), [{ rounds: 1 }])
})

t.test('a job takes no more contenders than the harness has room for', async (t) => {
  for (const one of planWarmCases('full'))
    if (one.kind === 'warm') t.ok(one.places.length <= 32, one.id)
})
