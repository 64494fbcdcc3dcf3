import { test } from 'tap'
import type { Revisions } from '../../src/agent/policy-book.ts'
import {
  decodeEnforcingNode,
  hasReached,
  latestOf,
  policyRevisionAnnotation,
} from '../../src/cluster/policy-revision.ts'

const node = (annotations: object, status?: string) => ({
  metadata: { name: 'a', annotations },
  status: { conditions: [{ type: 'Ready', status }] },
})
const told = (text: string) => decodeEnforcingNode(node({ [policyRevisionAnnotation]: text }))

test('what an agent writes is what is read', async (t) => {
  const revisions: Revisions = { NetworkPolicy: '120', CiliumNetworkPolicy: '77' }
  t.same(told(JSON.stringify(revisions)), {
    name: 'a',
    isReady: false,
    revisions: { networkpolicies: '120', ciliumnetworkpolicies: '77' },
  })
  t.same(told('{"networkpolicies":"1"}')?.revisions, { networkpolicies: '1' })
})

test('what somebody else wrote there tells nothing', async (t) => {
  for (const text of ['', '{', '7', '[]', 'null']) t.notOk(told(text)?.revisions, text)
  t.same(told('{"networkpolicies":7,"__proto__":"x"}')?.revisions?.networkpolicies, undefined)
  t.notOk(decodeEnforcingNode({}))
  t.notOk(decodeEnforcingNode(node({}, 'True'))?.revisions)
  t.ok(decodeEnforcingNode(node({}, 'True'))?.isReady)
  t.notOk(decodeEnforcingNode(node({}, 'Unknown'))?.isReady)
})

for (const [enforced, wanted, is] of [
  ['10', '9', true],
  ['9', '10', false],
  ['9', '9', true],
  ['0', '0', true],
  ['09', '8', false],
  ['a', 'a', true],
  ['b', 'a', false],
  ['', '', true],
  ['-1', '-2', false],
  [undefined, '1', false],
] as const)
  test(`${enforced} has ${wanted} in it: ${is}`, async (t) => {
    t.equal(hasReached(enforced, wanted), is)
  })

test('the latest stands for all that can be compared', async (t) => {
  t.same(latestOf(['9', '100', '20']), ['100'])
  t.same(latestOf(['b', '9', 'a', 'b', '10']), ['10', 'b', 'a'])
  t.same(latestOf([]), [])
})
