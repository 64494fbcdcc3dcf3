import fc from 'fast-check'
import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { formatPrefix } from '../../src/base/prefix.ts'
import { explainFileProblem, parseNodesFile } from '../../src/cluster/nodes-file.ts'
import { holds } from '../base/law.ts'

const one = { name: 'a', address: '192.168.1.11', podCIDRs: ['10.244.1.0/24'] }

test('a nodes file', async (t) => {
  const both = {
    name: 'b.example',
    addresses: ['192.168.1.12', 'fd00::12'],
    podCIDRs: ['10.244.2.0/24', 'fd00:2::/64'],
    mode: 'direct',
  }
  const file = parseNodesFile({ nodes: [one, both] })
  const nodes = file.kind === 'nodes' ? file.nodes : []
  t.same(
    nodes.map(({ addresses, podCIDRs, ...rest }) => ({
      ...rest,
      addresses: addresses.map(formatAddress),
      podCIDRs: podCIDRs.map(formatPrefix),
    })),
    [{ name: 'a', addresses: ['192.168.1.11'], podCIDRs: ['10.244.1.0/24'] }, both],
  )
})

test('no nodes are nodes too', async (t) =>
  t.same(parseNodesFile({ nodes: [] }), { kind: 'nodes', nodes: [] }))

for (const { why, value, wrong } of [
  { why: 'an empty file', value: null, wrong: 'the file is null' },
  { why: 'no list of nodes', value: {}, wrong: 'nodes is absent' },
  { why: 'nodes that are no list', value: { nodes: { a: one } }, wrong: 'nodes is an object' },
  { why: 'a node that is a text', value: { nodes: ['a'] }, wrong: 'nodes[0] is "a"' },
  {
    why: 'a name with a slash',
    value: { nodes: [{ ...one, name: 'a/b' }] },
    wrong: 'nodes[0].name is "a/b"',
  },
  {
    why: 'an address with a prefix length',
    value: { nodes: [one, { ...one, name: 'b', address: '192.168.1.12/24' }] },
    wrong: 'nodes[1].address is "192.168.1.12/24"',
  },
  {
    why: 'an address in two ways',
    value: { nodes: [{ ...one, addresses: ['192.168.1.11'] }] },
    wrong: 'nodes[0].addresses is a list of 1',
  },
  {
    why: 'no address',
    value: { nodes: [{ name: 'a', podCIDRs: one.podCIDRs }] },
    wrong: 'nodes[0].addresses is absent',
  },
  {
    why: 'no podCIDRs',
    value: { nodes: [{ ...one, podCIDRs: [] }] },
    wrong: 'nodes[0].podCIDRs is a list of 0',
  },
  {
    why: 'host bits',
    value: { nodes: [{ ...one, podCIDRs: ['10.244.1.0/24', '10.244.2.1/24'] }] },
    wrong: 'nodes[0].podCIDRs[1] is "10.244.2.1/24"',
  },
  {
    why: 'an unknown mode',
    value: { nodes: [{ ...one, mode: 'ipip' }] },
    wrong: 'nodes[0].mode is "ipip"',
  },
  {
    why: 'a key that is a slip',
    value: { nodes: [{ ...one, podCidrs: [] }] },
    wrong: 'nodes[0].podCidrs is a list of 0',
  },
  { why: 'a name twice', value: { nodes: [one, one] }, wrong: 'nodes[1].name is "a"' },
])
  test(`a nodes file with ${why}`, async (t) => {
    const file = parseNodesFile(value)
    const problems = file.kind === 'wrong' ? file.problems : []
    t.equal(problems.length, 1)
    t.match(explainFileProblem(problems[0]!), `${wrong}; accepted: `)
  })

test('of many slips the first twenty are told', async (t) => {
  const file = parseNodesFile({ nodes: Array.from({ length: 5000 }, () => ({ ...one, mode: 1 })) })
  t.equal(file.kind === 'wrong' && file.problems.length, 20)
})

test('whatever the value, it is nodes or told what is wrong', async (t) => {
  const odd = fc.anything({ maxDepth: 2 })
  const node = fc.record(
    {
      name: fc.oneof(odd, fc.constantFrom('a', 'b')),
      address: fc.oneof(odd, fc.ipV4()),
      podCIDRs: fc.oneof(odd, fc.array(fc.oneof(odd, fc.constant('10.0.0.0/8')))),
    },
    { requiredKeys: [] },
  )
  const value = fc.oneof(odd, fc.record({ nodes: fc.oneof(odd, fc.array(fc.oneof(odd, node))) }))
  const property = fc.property(value, (given) => {
    const file = parseNodesFile(given)
    if (file.kind === 'nodes') return true
    return file.problems.length > 0 && file.problems.every((one) => one.found.length < 200)
  })
  return holds(t, property, 2000)
})
