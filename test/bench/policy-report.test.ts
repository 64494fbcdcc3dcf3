import { test } from 'tap'
import { formatPolicyRun, type PolicyRun, percentile, targetsOf } from './policy/report.ts'

const times = Array.from({ length: 100 }, (_, at) => at + 1)

/** @param connections a second at the largest size; 1,000 at none. */
const runWith = (connections: number): PolicyRun => ({
  pods: 10_000,
  traffic: [
    { peer: 'tulle', size: 0, tripMs: 0.005, connectionsPerSecond: 1000 },
    { peer: 'tulle', size: 10_000, tripMs: 0.005, connectionsPerSecond: connections },
    { peer: 'calico', size: 0, tripMs: 0.005, connectionsPerSecond: 1000 },
    { peer: 'calico', size: 10_000, tripMs: 0.006, connectionsPerSecond: 400 },
  ],
  changes: [
    { peer: 'tulle', size: 0, policyMs: [1], podMs: [1] },
    { peer: 'tulle', size: 10_000, policyMs: times, podMs: [1] },
    { peer: 'calico', size: 0, policyMs: [], podMs: [] },
    { peer: 'calico', size: 10_000, policyMs: [900], podMs: [3] },
  ],
  wholeMs: [1500],
  wholePodMs: [2, 3],
  wholePolicyMs: [4, 5],
  verdictsPerSecond: 2_000_000,
  agent: {
    pods: 10_000,
    policies: 1_000,
    podMs: [3, 11],
    policyMs: [4],
    memory: { now: 150, peak: 199 },
  },
  isQuick: false,
})

test('a percentile is a sample: the smallest that so many do not exceed', async (t) => {
  t.equal(percentile(times, 0.5), 50)
  t.equal(percentile(times, 0.99), 99)
  t.equal(percentile([3], 0.99), 3)
  t.ok(Number.isNaN(percentile([], 0.5)), 'of nothing')
})

test('targets of policies are met or missed by their limits', async (t) => {
  const states = (run: PolicyRun) => targetsOf(run).map(({ isMet }) => isMet)
  t.same(states(runWith(960)), [true, true, true, true, false, true, false, true, true, true])
  t.same(states(runWith(900)), [true, false, true, true, false, true, false, true, true, true])
})

test('the report says what was not measured, and shows nothing where nothing was', async (t) => {
  const text = formatPolicyRun(runWith(960))
  t.match(text, /not measured: kube-network-policies: .*NFQUEUE/)
  t.match(text, /calico, policy +– +900 \(900\)/)
  t.match(text, /one policy, where .* p99 +MISSED +≤ 10 ms +99\.0 ms/)
})
