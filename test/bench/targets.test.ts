import t from 'tap'
import { type PeerId, planCases } from './cases.ts'
import type { Verb } from './job.ts'
import type { CaseResult, Row } from './result.ts'
import { summarise } from './statistics.ts'
import { evaluateTargets, type Rule, rules } from './targets.ts'

const row = (peer: PeerId, verb: Verb, samples: readonly number[], failed = 0): Row => ({
  peer,
  verb,
  variant: '',
  calls: samples.length + failed,
  failed,
  samples,
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

const ratio: Rule = {
  id: 'r',
  text: 'ADD ÷ newest',
  figure: 'ratio',
  limit: 0.5,
  left: { caseId: 'routed', peer: 'tulle', verb: 'ADD' },
  right: { caseId: 'routed', peer: 'newest', verb: 'ADD' },
}
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
    for (const name of beside ? [left, right, beside] : [left, right]) {
      const found = planned.find((one) => one.id === name.caseId)
      t.ok(found, `${id}: case ${name.caseId}`)
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
    [0.85, 6, 0.95, 0.65, 0.05, 0.3, 0.5, 0.25, 1.05, 1.1, 1.1],
  ),
)
