import { join } from 'node:path'
import t from 'tap'
import { executable } from '../support/cni.ts'
import { type Ran, runLater } from '../support/netns.ts'
import { Cluster, type Member, three } from './cluster.ts'
import { until } from './running-agent.ts'

t.setTimeout(180_000)

// Real agents in their nodes, and the operator's tool beside them.

const tool = ({ host, agent }: Member, ...words: readonly string[]): Promise<Ran> =>
  runLater([
    ...['nsenter', `--net=${host.netns.path}`, executable, ...words],
    ...['--socket', join(agent.folder, 'run', 'agent.sock')],
  ])

async function withAgents(
  prepare: (cluster: Cluster) => void,
  use: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const cluster = new Cluster()
  try {
    for (const wish of three) cluster.add(wish)
    prepare(cluster)
    cluster.tell()
    for (const { agent } of cluster.members.values()) agent.start()
    for (const { agent } of cluster.members.values()) await agent.ready()
    await use(cluster)
  } finally {
    await cluster.close()
  }
}

const stateOf = async ({ agent }: Member, peer: string): Promise<string | undefined> =>
  (await agent.status()).peers.find(({ name }) => name === peer)?.probe?.state

t.test('agents ask each other, and the tool shows it', (t) =>
  withAgents(
    () => undefined,
    async (cluster) => {
      const node = cluster.get('a')
      for (const peer of ['b', 'c'])
        await until(`${peer} answers`, async () => (await stateOf(node, peer)) === 'ok')
      const { peers, findings } = await node.agent.status()
      for (const { name, probe } of peers) {
        t.equal(probe?.lossPercent, 0, `${name}: ${probe?.finding}`)
        t.equal(probe?.finding, undefined)
      }
      t.same(findings, [])
      const status = await tool(node, 'status')
      t.equal(status.code, 0, status.stderr)
      t.match(status.stdout, /^2 peers: 1 direct, 1 vxlan; all well$/m)
      t.match(status.stdout, /^c .* vxlan +ok [\d.]+ ms$/m)
      const routes = await tool(node, 'routes')
      t.equal(routes.code, 0, routes.stdout)
      t.match(routes.stdout, /^10\.244\.3\.0\/24 +c +vxlan +10\.244\.3\.0 +tulle\.1 .* ok$/m)
      t.match(routes.stdout, /^10\.244\.2\.0\/24 +b +direct +10\.0\.0\.2 +eth0 +- +- +ok$/m)
    },
  ),
)

t.test('a node whose firewall eats the tunnel is named, with what to do', (t) =>
  withAgents(
    (cluster) => {
      const rule = 'udp dport 8472 drop'
      const chain = `chain c {\ntype filter hook input priority 0\n${rule}\n}`
      const { netns } = cluster.get('c').host
      const done = netns.exec(['nft', '-f', '-'], { input: `table inet t {\n${chain}\n}\n` })
      t.equal(done.code, 0, done.stderr)
    },
    async (cluster) => {
      const node = cluster.get('a')
      await until('c is failing', async () => (await stateOf(node, 'c')) === 'failing')
      await until('b answers', async () => (await stateOf(node, 'b')) === 'ok')
      const { findings } = await node.agent.status()
      t.match(findings, [{ subject: 'c', severity: 'error', remedy: /UDP 8472 pass/ }])
      const { code, stdout } = await tool(node, 'doctor', '--conf-dir', '/nowhere')
      t.equal(code, 1)
      t.match(stdout, /^error {4}(one-way|tunnel-blocked) +c$/m)
    },
  ),
)
