import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { type Cluster, type Member, three, withCluster, withKubernetes } from './cluster.ts'
import { lostDuring } from './flood.ts'
import { RunningAgent, until } from './running-agent.ts'

const stateOf = ({ host }: Member): string =>
  [
    host.netns.ip('route', 'show', 'proto', '116'),
    host.netns.ip('-6', 'route', 'show', 'proto', '116'),
    host.netns.exec(['bridge', 'fdb', 'show', 'dev', 'tulle.1']).stdout,
    host.netns.ip('neigh', 'show', 'dev', 'tulle.1', 'nud', 'permanent'),
    String(host.netns.ipJson('link', 'show', 'dev', 'tulle.1')[0]?.ifindex),
  ].join('\n')

for (const signal of ['SIGKILL', 'SIGTERM'] as const)
  test(`an agent that ends by ${signal} and starts again costs no packet`, (t) =>
    withCluster(three, async (cluster) => {
      await cluster.allReach()
      const [a, c] = [cluster.get('a'), cluster.get('c')]
      const before = stateOf(a)
      const lost = await lostDuring(a, c, async () => {
        const ended = await a.agent.end(signal)
        t.equal(ended, signal === 'SIGTERM' ? 0 : signal)
        t.equal(stateOf(a), before, 'the data path is left alone')
        a.agent.start()
        await until('the new agent', async () => (await a.agent.status()).ready)
      })
      t.equal(lost, 0)
      t.equal(stateOf(a), before)
      t.same((await a.agent.status()).drift, { repairs: 0, byKind: {} })
    }))

test('SIGTERM closes the sockets, and a second agent is refused while the first one lives', (t) =>
  withCluster(three.slice(0, 2), async (cluster) => {
    const { agent, host } = cluster.get('a')
    const words = ['--nodes-file', cluster.nodesFile]
    const second = new RunningAgent(host.netns, 'a', words, agent.folder).start()
    await until('the refusal', () =>
      second.log.some((line) => line.includes('another agent holds')),
    )
    t.equal(await second.ended(), 1)
    await agent.end('SIGTERM')
    t.notOk(existsSync(join(agent.folder, 'run', 'agent.sock')))
  }))

// Flannel leaves routes, neighbours and forwarding entries of nodes that went while it was down,
// for ever (facts: Flannel's defect 4).
test('a node that goes while the agent is down is swept, and nothing of others', (t) =>
  withCluster(three, async (cluster) => {
    const a = cluster.get('a')
    await a.agent.end('SIGKILL')
    a.host.netns.ip('route', 'add', '198.51.100.0/24', 'via', '10.0.0.2')
    cluster.tell(cluster.nodes.filter(({ name }) => name !== 'c'))
    a.agent.start()
    await until('c is swept', () => {
      const state = stateOf(a)
      return !state.includes('10.244.3.0') && !state.includes('02:74:0a:01:00:03')
    })
    t.match(a.host.netns.ip('route'), '198.51.100.0/24')
    await cluster.allReach(['a', 'b'])
  }))

test('without a source nothing is touched: an agent that knows nothing does nothing', (t) =>
  withCluster(three, async (cluster) => {
    const a = cluster.get('a')
    const before = stateOf(a)
    await a.agent.end('SIGKILL')
    const words = ['--nodes-file', '/nowhere/nodes.yaml']
    const blind = new RunningAgent(a.host.netns, 'a', words).start()
    try {
      await until('its patience is over', async () => {
        const { source } = await blind.status()
        return source.error !== undefined
      })
      await until('it answers', async () => (await blind.get('/readyz')).code === 503)
      t.equal(stateOf(a), before)
    } finally {
      await blind.close()
    }
  }))

/** The machine starts anew: another namespace, the same disk and the same NIC. */
async function reboot(cluster: Cluster, name: string, words: readonly string[]): Promise<Member> {
  const { host, agent } = cluster.get(name)
  const mac = String(host.netns.ipJson('link', 'show', 'dev', 'eth0')[0]?.address)
  await agent.end('SIGKILL')
  host.netns.ip('link', 'del', 'eth0')
  const again = cluster.underlay.add(host.node, 'far')
  again.netns.ip('link', 'set', 'eth0', 'address', mac)
  const member = { host: again, agent: new RunningAgent(again.netns, name, words, agent.folder) }
  cluster.members.set(name, member)
  member.agent.start()
  return member
}

test('a node that starts while the API is away goes by what it last knew', (t) =>
  withKubernetes(three, async (cluster, api) => {
    await until('what is known is on disk', () =>
      existsSync(join(cluster.get('c').agent.folder, 'state', 'known-nodes.json')),
    )
    await cluster.get('c').agent.end('SIGTERM')
    api.cut()
    const { agent } = await reboot(cluster, 'c', ['--kubeconfig', api.kubeconfig])
    await cluster.allReach()
    const { source, ready } = await agent.status()
    t.match(source, { using: 'known', connected: false })
    t.equal(ready, true)
    api.mend()
    await until('the API counts again', async () => (await agent.status()).source.using === 'live')
    await cluster.allReach()
  }))

test('the API dies: everything goes on, also an agent that starts again', (t) =>
  withKubernetes(three, async (cluster, api) => {
    const a = cluster.get('a')
    await cluster.allReach()
    await until('what is known is on disk', () =>
      existsSync(join(a.agent.folder, 'state', 'known-nodes.json')),
    )
    const before = stateOf(a)
    const lost = await lostDuring(a, cluster.get('c'), async () => {
      api.kill()
      await a.agent.end('SIGKILL')
      a.agent.start()
      await until('the last known nodes are used', async () => {
        const { source } = await a.agent.status()
        return source.using === 'known'
      })
      await a.agent.ready()
    })
    t.equal(lost, 0)
    t.equal(stateOf(a), before)
    a.host.netns.ip('route', 'flush', 'proto', '116')
    await until('it heals as ever', () => stateOf(a) === before)
  }))
