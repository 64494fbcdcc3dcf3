import { test } from 'tap'
import { at } from '../../src/cluster/json-value.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'
import { nodeOf, readdress, three, withKubernetes } from './cluster.ts'
import { until } from './running-agent.ts'

type Condition = Readonly<Record<'type' | 'status' | 'reason', string>>
const conditionsOf = (object: unknown): readonly Condition[] =>
  (at(object, 'status', 'conditions') ?? []) as readonly Condition[]

test('a cluster out of the Kubernetes API: all reach all, and the nodes are told fit', (t) =>
  withKubernetes(three, async (cluster, api) => {
    await cluster.allReach()
    for (const name of ['a', 'b', 'c']) {
      const conditions = await until(`the conditions of ${name}`, async () => {
        const found = conditionsOf(await api.node(name))
        return found.length >= 2 ? found : undefined
      })
      t.ok(
        conditions.some(({ type, status }) => type === 'NetworkUnavailable' && status === 'False'),
      )
      t.ok(conditions.some(({ type, status }) => type === 'TulleDegraded' && status === 'False'))
    }
    const { source } = await cluster.get('a').agent.status()
    t.match(source, { kind: 'kubernetes', connected: true, using: 'live' })
  }))

test('a node that joins is reached, one that leaves is forgotten', (t) =>
  withKubernetes(three.slice(0, 2), async (cluster, api) => {
    const wish = three[2]
    if (!wish) throw new Error('no third node')
    const { host, agent } = cluster.add(wish, ['--kubeconfig', api.kubeconfig])
    await api.put(host.node)
    agent.start()
    await cluster.allReach()
    await api.delete('c')
    for (const name of ['a', 'b'])
      await until(`${name} forgets c`, () => {
        const { netns } = cluster.get(name).host
        const left = [
          netns.ip('route', 'show', '10.244.3.0/24'),
          netns.ip('-6', 'route', 'show', 'fd10:3::/64'),
          netns.ip('neigh', 'show', 'dev', 'tulle.1', 'nud', 'permanent'),
          netns.exec(['bridge', 'fdb', 'show', 'dev', 'tulle.1']).stdout,
          netns.exec(['bridge', 'fdb', 'show', 'dev', 'tulle-v6.1']).stdout,
        ]
        return left.join('').trim() === ''
      })
    t.match((await cluster.get('a').agent.status()).peers, [{ name: 'b' }])
  }))

// Flannel drops an update of a dual-stack node whose IPv6 side is as before, and never looks at
// podCIDRs (facts: Flannel's defect 1).
for (const { why, change } of [
  // Its connection to the API is from the old one.
  {
    why: 'its IPv4 address alone',
    change: (node: ClusterNode) => ({
      ...node,
      addresses: nodeOf({ name: 'c', addresses: ['10.1.0.33', 'fd00:1::3'], podCIDRs: [] })
        .addresses,
    }),
  },
  {
    why: 'its IPv6 address alone',
    change: (node: ClusterNode) => ({
      ...node,
      addresses: nodeOf({ name: 'c', addresses: ['10.1.0.3', 'fd00:1::33'], podCIDRs: [] })
        .addresses,
    }),
  },
])
  test(`a node that changes ${why} is reached at the new one`, (t) =>
    withKubernetes(three, async (cluster, api) => {
      const { host } = cluster.get('c')
      const before = host.node
      host.node = change(before)
      // The machine has its new address first, as in life.
      readdress(host)
      await api.change(host.node)
      await cluster.allReach()
      const fdb = cluster.get('a').host.netns.exec(['bridge', 'fdb', 'show', 'dev', 'tulle.1'])
      const fdb6 = cluster.get('a').host.netns.exec(['bridge', 'fdb', 'show', 'dev', 'tulle-v6.1'])
      t.equal(fdb.stdout.trim().split('\n').length, 1, 'no entry of the old MAC is left')
      t.equal(fdb6.stdout.trim().split('\n').length, 1)
    }))

test('a node whose podCIDR changes is reached by the new one, and the old one is gone', (t) =>
  withKubernetes(three, async (cluster, api) => {
    const { host } = cluster.get('c')
    const podCIDRs = nodeOf({
      name: 'c',
      addresses: [],
      podCIDRs: ['10.244.9.0/24', 'fd10:3::/64'],
    })
    await api.change({ ...host.node, podCIDRs: podCIDRs.podCIDRs })
    for (const name of ['a', 'b'])
      await until(`${name} has the new route alone`, () => {
        const routes = cluster.get(name).host.netns.ip('route')
        return routes.includes('10.244.9.0/24') && !routes.includes('10.244.3.0/24')
      })
    t.match(cluster.get('c').host.netns.ip('addr', 'show', 'tulle.1'), '10.244.9.0/32')
  }))

test('status noise does nothing at all', (t) =>
  withKubernetes(three.slice(0, 2), async (cluster, api) => {
    const { agent } = cluster.get('a')
    const before = await agent.status()
    const fabricRuns = (status: typeof before) =>
      status.loops.find(({ name }) => name === 'fabric')?.runs
    for (let beat = 0; beat < 20; beat++) await api.beat('b', beat)
    const after = await agent.status()
    t.equal(fabricRuns(after), fabricRuns(before))
  }))

test('a cluster that shares a podCIDR between two nodes is told, and nobody is cut off', (t) =>
  withKubernetes(three, async (cluster, api) => {
    await api.put({
      ...nodeOf({ name: 'd', addresses: ['10.0.0.4'], podCIDRs: ['10.244.3.0/24'] }),
    })
    const found = await until('the finding', async () =>
      (await cluster.get('a').agent.status()).findings.find(
        ({ check }) => check === 'duplicate-pod-cidr',
      ),
    )
    t.match(found, { severity: 'warning', subject: 'c, d' })
    await until('the Event', async () => {
      const list = (await api.events()).items as readonly { reason: string }[]
      return list.some(({ reason }) => reason === 'DuplicatePodCidr')
    })
    await until('the condition of the node that is in it', async () =>
      conditionsOf(await api.node('c')).some(
        ({ type, status, reason }) =>
          type === 'TulleDegraded' && status === 'True' && reason === 'DuplicatePodCidr',
      ),
    )
    await cluster.allReach()
  }))
