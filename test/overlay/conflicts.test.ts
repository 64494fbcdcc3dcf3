import fc from 'fast-check'
import { test } from 'tap'
import { sameAddress } from '../../src/base/address.ts'
import { contains, networkOf, overlaps } from '../../src/base/prefix.ts'
import { conflictsOf, explainConflict } from '../../src/overlay/conflicts.ts'
import { holds } from '../base/law.ts'
import { anyNode, node } from './values.ts'

for (const { why, nodes, want } of [
  {
    why: 'none',
    nodes: [node('b', '10.0.0.2 fd00::2', '10.1.2.0/24'), node('a', '10.0.0.1', '10.1.1.0/24')],
    want: [],
  },
  {
    why: 'one podCIDR twice',
    nodes: [node('b', '10.0.0.2', '10.1.2.0/24'), node('a', '10.0.0.1', '10.1.2.9/24')],
    want: [/^podCIDR 10\.1\.2\.0\/24 of node a overlaps 10\.1\.2\.0\/24 of node b: /],
  },
  {
    why: 'one inside another, and beside a third',
    nodes: [
      node('a', '', '10.1.0.0/16'),
      node('b', '', '10.1.2.0/24'),
      node('c', '', '10.1.3.0/24'),
      node('d', '', '10.2.0.0/24'),
    ],
    want: [/10\.1\.0\.0\/16 of node a overlaps .* of node b/, /of node a overlaps .* of node c/],
  },
  {
    why: 'one address twice',
    nodes: [node('b', '10.0.0.2', ''), node('a', '10.0.0.2', ''), node('c', '10.0.0.2', '')],
    want: [/^Address 10\.0\.0\.2 is that of several nodes \(a, b, c\)/],
  },
  {
    why: "a node's address among the pods",
    nodes: [node('b', '10.1.1.2', ''), node('a', '10.0.0.1', '10.1.0.0/16 fd01::/64')],
    want: [/^Address 10\.1\.1\.2 of node b is inside podCIDR 10\.1\.0\.0\/16 of node a: /],
  },
])
  test(`conflictsOf, ${why}`, async (t) => {
    const found = conflictsOf(nodes).map(explainConflict)
    t.equal(found.length, want.length)
    for (const [at, pattern] of want.entries()) t.match(found[at], pattern)
    t.strictSame(conflictsOf([...nodes].reverse()).map(explainConflict), found)
  })

test('conflictsOf finds one wherever a slow look at every pair does', async (t) => {
  const nodesOf = fc.uniqueArray(anyNode, { selector: ({ name }) => name, maxLength: 5 })
  const law = fc.property(nodesOf, (nodes) => {
    const cidrs = nodes.flatMap(({ podCIDRs }) => podCIDRs.map(networkOf))
    const hasOverlap = cidrs.some((one, at) =>
      cidrs.some((other, place) => place > at && overlaps(one, other)),
    )
    const hasTwice = nodes.some((one) =>
      nodes.some(
        (other) =>
          other.name > one.name &&
          other.addresses.some((address) => one.addresses.some((it) => sameAddress(it, address))),
      ),
    )
    const hasInside = nodes.some(({ addresses }) =>
      addresses.some((address) => cidrs.some((cidr) => contains(cidr, address))),
    )
    const kinds = new Set(conflictsOf(nodes).map(({ kind }) => kind))
    return (
      kinds.has('podCIDRs-overlap') === hasOverlap &&
      kinds.has('address-twice') === hasTwice &&
      (kinds.has('address-in-podCIDR') === hasInside || hasOverlap)
    )
  })
  holds(t, law)
})
