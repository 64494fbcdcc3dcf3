import { test } from 'tap'
import { exhaustedRanges } from '../../src/agent/node-findings.ts'

const statusOf = (used: number, free: number) => ({
  used,
  free,
  ranges: [{ subnet: '10.244.1.0/24', used, free }],
})

test('a podCIDR that is used up, or nearly, is told with what to do', (t) => {
  t.same(exhaustedRanges(statusOf(0, 253)), [])
  t.same(exhaustedRanges(statusOf(227, 26)), [])
  t.match(exhaustedRanges(statusOf(228, 25)), [
    { check: 'pod-cidr-exhausted', meaning: /^228 of the 253 addresses/ },
  ])
  t.match(exhaustedRanges(statusOf(253, 0)), [
    { subject: '10.244.1.0/24', meaning: /^All 253 addresses .* new pods get none$/ },
  ])
  t.same(exhaustedRanges({ used: 0, free: 0, ranges: [] }), [])
  t.end()
})
