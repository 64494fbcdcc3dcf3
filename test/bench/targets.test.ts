import t from 'tap'
import { type PeerId, planCases } from './cases.ts'
import type { Verb } from './job.ts'
import type { CaseResult, Row } from './result.ts'
import { summarise } from './statistics.ts'
import { evaluateTargets, type Rule, rules } from './targets.ts'
import type { Place } from './warm/cases.ts'

const row = (
  peer: PeerId,
  verb: Verb,
  samples: readonly number[],
  failed = 0,
  cpuSamples: readonly number[] = samples,
): Row => ({
  peer,
  verb,
  variant: '',
  calls: samples.length + failed,
  failed,
  samples,
  cpuSamples,
  rssKiB: 1,
  ...(failed > 0 ? { fault: 'exit 1: refused' } : {}),
  ...(samples.length > 0 ? { time: summarise(samples)! } : {}),
})

const result = (rows: readonly Row[], faults: readonly string[] = []): CaseResult => ({
  id: 'routed',
  title: 'Routed',
  rounds: 3,
  peers: ['tulle', 'newest'],
  rows,
  faults,
})

const ratio = {
  id: 'r',
  text: 'ADD ÷ newest',
  figure: 'ratio',
  limit: 0.5,
  left: { caseId: 'routed', peer: 'tulle', verb: 'ADD' },
  right: { caseId: 'routed', peer: 'newest', verb: 'ADD' },
} as const satisfies Rule
const difference: Rule = { ...ratio, figure: 'difference', limit: 6 }

for (const one of [
  { why: 'below the limit', rule: ratio, left: [4, 4, 4], right: [10, 10, 10], want: 'met' },
  { why: 'at the limit', rule: ratio, left: [5, 5, 5], right: [10, 10, 10], want: 'met' },
  { why: 'above the limit', rule: ratio, left: [6, 6, 6], right: [10, 10, 10], want: 'missed' },
  { why: 'medians, not means', rule: ratio, left: [4, 4, 900], right: [10, 10, 10], want: 'met' },
  { why: 'difference met', rule: difference, left: [15, 16, 17], right: [10, 10, 10], want: 'met' },
  { why: 'difference missed', rule: difference, left: [17, 17], right: [10, 10], want: 'missed' },
] as const)
  t.test(`target: ${one.why}`, async (t) => {
    const rows = [row('tulle', 'ADD', one.left), row('newest', 'ADD', one.right)]
    t.equal(evaluateTargets([one.rule], [result(rows)])[0]!.state, one.want)
  })

for (const one of [
  { why: 'its case was left out', cases: [], want: /was not run/ },
  {
    why: 'a peer is not here',
    cases: [result([row('tulle', 'ADD', [1])])],
    want: /no ADD of newest was run/,
  },
  {
    why: 'the run ended before a peer had its turn',
    cases: [result([row('tulle', 'ADD', [1]), row('newest', 'ADD', [])])],
    want: /no ADD of newest was run/,
  },
  {
    why: 'a call failed: what is quick because it refuses does not count',
    cases: [result([row('tulle', 'ADD', [1, 1], 1), row('newest', 'ADD', [9])])],
    want: /1 of 3 ADD of tulle failed \(exit 1: refused\)/,
  },
  {
    why: 'the case has a fault',
    cases: [result([row('tulle', 'ADD', [1]), row('newest', 'ADD', [9])], ['store not read'])],
    want: /store not read/,
  },
])
  t.test(`target is neither met nor missed when ${one.why}`, async (t) => {
    const target = evaluateTargets([ratio], one.cases)[0]!
    t.equal(target.state, 'not measured')
    if (target.state === 'not measured') t.match(target.reason, one.want)
  })

t.test('a rule may be of CPU time', async (t) => {
  const rows = [row('tulle', 'ADD', [4], 0, [1]), row('newest', 'ADD', [5], 0, [8])]
  const want = { state: 'met', value: 0.125, left: 1, right: 8 }
  t.match(evaluateTargets([{ ...ratio, of: 'CPU time' }], [result(rows)])[0], want)
})

t.test('a rule may be of one row', async (t) => {
  const { right: _, ...alone } = ratio
  const rule: Rule = { ...alone, figure: 'value', limit: 2 }
  for (const [ms, state] of [
    [2, 'met'],
    [2.1, 'missed'],
  ] as const) {
    const [target] = evaluateTargets([rule], [result([row('tulle', 'ADD', [ms])])])
    t.match(target, { state, value: ms, left: ms })
    t.notOk(target && 'right' in target)
  }
})

t.test('the other reference is shown beside', async (t) => {
  const beside: Rule = { ...ratio, beside: { ...ratio.right, peer: 'debian' } }
  const rows = [row('tulle', 'ADD', [4]), row('newest', 'ADD', [10]), row('debian', 'ADD', [8])]
  t.match(evaluateTargets([beside], [result(rows)])[0], {
    state: 'met',
    value: 0.4,
    left: 4,
    right: 10,
    beside: { peer: 'debian', value: 0.5 },
  })
})

t.test('every rule names rows that a run has', async (t) => {
  const planned = planCases('full', '')
  for (const { id, left, right, beside } of rules)
    for (const name of [left, right ?? [], beside ?? []].flat()) {
      const found = planned.find((one) => one.id === name.caseId)
      t.ok(found, `${id}: case ${name.caseId}`)
      if (found?.kind === 'warm') {
        const isPlace = ({ peer, variant }: Place): boolean =>
          peer === name.peer && variant === name.variant
        t.ok(found.places.some(isPlace), `${id}: ${name.peer} ${name.variant}`)
        t.ok(found.verbs.includes(name.verb), `${id}: verb ${name.verb}`)
      }
      if (found?.kind !== 'attach') continue
      t.ok(found.peers.includes(name.peer), `${id}: peer ${name.peer}`)
      t.ok(found.verbs.includes(name.verb), `${id}: verb ${name.verb}`)
      const labels = found.variants.map(({ label }) => label)
      t.ok(labels.includes(name.variant ?? ''), `${id}: variant ${name.variant}`)
    }
})

t.test('the limits are the promised ones', async (t) =>
  t.same(
    rules.map(({ limit }) => limit),
    [
      0.85, 6, 0.95, 0.65, 0.05, 0.3, 0.5, 0.25, 1.05, 1.1, 1.1, 0.4, 5, 0.15, 0.15, 0.02, 0.05, 2,
      2,
    ],
  ),
)
