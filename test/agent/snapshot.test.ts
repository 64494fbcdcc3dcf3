import { test } from 'tap'
import { Snapshot } from '../../src/agent/snapshot.ts'
import { parseAddress } from '../../src/base/address.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'

const node = (name: string, address = '10.0.0.1'): ClusterNode => ({
  name,
  addresses: [parseAddress(address)].flatMap((one) => one ?? []),
  podCIDRs: [],
})
const names = (changed: ReadonlySet<string>): readonly string[] => [...changed].toSorted()

test('news names the nodes that are other than before, and no others', async (t) => {
  const snapshot = new Snapshot()
  t.equal(snapshot.using, 'nothing')
  const all = { kind: 'all', nodes: [node('a'), node('b')] } as const
  t.same(names(snapshot.take(all, 'live')), ['a', 'b'])
  t.same(names(snapshot.take(all, 'live')), [])
  t.same(names(snapshot.take({ kind: 'changed', node: node('b') }, 'live')), [])
  t.same(names(snapshot.take({ kind: 'changed', node: node('b', '10.0.0.2') }, 'live')), ['b'])
  t.same(names(snapshot.take({ kind: 'changed', node: node('c') }, 'live')), ['c'])
  t.same(names(snapshot.take({ kind: 'gone', name: 'x' }, 'live')), [])
  t.same(names(snapshot.take({ kind: 'gone', name: 'c' }, 'live')), ['c'])
  t.same(names(snapshot.take({ kind: 'all', nodes: [node('b'), node('d')] }, 'live')), [
    'a',
    'b',
    'd',
  ])
  t.same([...snapshot.nodes.keys()].toSorted(), ['b', 'd'])
})

test('what was known gives way to what is told, and does not come back', async (t) => {
  const snapshot = new Snapshot()
  snapshot.take({ kind: 'all', nodes: [node('a'), node('gone')] }, 'known')
  t.equal(snapshot.using, 'known')
  t.same(names(snapshot.take({ kind: 'all', nodes: [node('a'), node('b')] }, 'live')), [
    'b',
    'gone',
  ])
  t.equal(snapshot.using, 'live')
  t.same(names(snapshot.take({ kind: 'all', nodes: [] }, 'known')), [])
  t.same([...snapshot.nodes.keys()], ['a', 'b'])
})

test('news of single nodes does not make an unknown cluster a known one', async (t) => {
  const snapshot = new Snapshot()
  snapshot.take({ kind: 'changed', node: node('a') }, 'live')
  t.equal(snapshot.using, 'nothing')
})
