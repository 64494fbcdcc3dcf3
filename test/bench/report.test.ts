import t from 'tap'
import type { PeerId } from './cases.ts'
import type { Call, Verb } from './job.ts'
import { formatRun, type Run } from './report.ts'
import { collectRows } from './result.ts'
import { plainPaint } from './table.ts'
import { evaluateTargets, rules } from './targets.ts'

const call = (contender: number, verb: Verb, round: number, ms: number, more = {}): Call => ({
  contender,
  verb,
  round,
  count: 1,
  failed: 0,
  ms,
  userMs: 1,
  systemMs: 2,
  agentMs: 0,
  rssKiB: 5000,
  ...more,
})

const labels = (['tulle', 'newest', 'debian'] as const).map((peer) => ({
  peer,
  variant: '',
  verbs: ['ADD'] as const,
}))
const refused = { failed: 1, exit: 1, stdout: '{"code":11,\n"msg":"busy"}', stderr: '' }

const runOf = (calls: readonly Call[], peers: readonly PeerId[]): Run => {
  const rows = collectRows(labels, calls)
  const cases = [{ id: 'bridge-masq', title: 'Bridge', rounds: 2, peers, rows, faults: [] }]
  return {
    machine: { kernel: '6.18' },
    effort: 'full',
    peers: [
      { id: 'tulle', label: 'tulle', sizeBytes: 109_000_000 },
      { id: 'newest', label: 'plugins 1.9.1', sizeBytes: 7_000_000 },
      { id: 'debian', label: 'plugins 1.1.1', missing: 'no mirror' },
    ],
    cases,
    targets: evaluateTargets(rules, cases),
    notRun: [],
  }
}

t.test('warm-up and resident calls are in no row', async (t) => {
  const calls = [call(0, 'ADD', -1000, 99), call(0, 'ADD', -1, 98), call(0, 'ADD', 0, 5)]
  t.same(collectRows(labels, calls)[0]!.samples, [5])
})

t.test('a failed call is counted and quoted, and its time is not taken', async (t) => {
  const row = collectRows(labels, [call(0, 'ADD', 0, 0.1, refused), call(0, 'ADD', 1, 5)])[0]!
  t.match(row, { calls: 2, failed: 1, samples: [5] })
  t.equal(row.fault, 'ADD: exit 1: {"code":11, "msg":"busy"}')
})

t.test('CPU time is user and system time, and an agent’s', async (t) => {
  t.equal(collectRows(labels, [call(0, 'ADD', 0, 5)])[0]!.cpuMs, 3)
  t.equal(collectRows(labels, [call(0, 'ADD', 0, 5, { agentMs: 4 })])[0]!.cpuMs, 7)
})

t.test('a missed target is told as plainly as a met one', async (t) => {
  const met = formatRun(
    runOf([call(0, 'ADD', 0, 20), call(1, 'ADD', 0, 40)], ['tulle', 'newest']),
    plainPaint,
  )
  const missed = formatRun(
    runOf([call(0, 'ADD', 0, 40), call(1, 'ADD', 0, 40)], ['tulle', 'newest']),
    plainPaint,
  )
  t.match(met, /^ADD ÷ newest bridge \+ host-local, ipMasq +met +≤ 0\.95× +0\.50×/m)
  t.match(missed, /^ADD ÷ newest bridge \+ host-local, ipMasq +MISSED +≤ 0\.95× +1\.00×/m)
})

t.test('ratios are Tulle over the peer', async (t) =>
  t.match(
    formatRun(
      runOf([call(0, 'ADD', 0, 20), call(1, 'ADD', 0, 40)], ['tulle', 'newest']),
      plainPaint,
    ),
    /^ADD +20\.0 +40\.0 +0\.50×$/m,
  ),
)

t.test('a peer that is not here and a call that failed are named with their reason', async (t) => {
  const text = formatRun(runOf([call(0, 'ADD', 0, 1, refused)], ['tulle', 'newest']), plainPaint)
  t.match(text, 'plugins 1.1.1: not here: no mirror')
  t.match(text, '1 of 1 failed')
  t.match(text, 'tulle ADD: ADD: exit 1: {"code":11, "msg":"busy"}')
})
