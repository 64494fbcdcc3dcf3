import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { readLauncher } from '../../src/store/launcher.ts'
import { call, executable, type Json } from '../support/cni.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Cluster, type Member, three, withKubernetes } from './cluster.ts'
import { until } from './running-agent.ts'

type List = Readonly<{ cniVersion: string; name: string; plugins: readonly Json[] }>

const pathOf = ({ agent }: Member): string => join(agent.folder, 'net.d', '10-tulle.conflist')
const listOf = (member: Member): List => JSON.parse(readFileSync(pathOf(member), 'utf8')) as List

/** One plugin of the list as a runtime hands it over. */
function confOf(member: Member): Json {
  const { cniVersion, name, plugins } = listOf(member)
  return { cniVersion, name, ...plugins[0] }
}

function add(member: Member, pod: Netns): string {
  const done = call({
    verb: 'ADD',
    conf: confOf(member),
    node: member.host.netns,
    container: pod.name,
    netns: pod.path,
    ifname: 'eth0',
    plugin: join(member.agent.folder, 'bin', 'tulle'),
  })
  if (done.code !== 0) throw new Error(`Cannot ADD: ${done.stdout} ${done.stderr}`)
  const { ips } = JSON.parse(done.stdout) as { ips: readonly { address: string }[] }
  return ips.map(({ address }) => address.split('/')[0] ?? '').join(' ')
}

async function withLists(use: (cluster: Cluster) => Promise<void>): Promise<void> {
  const cluster = new Cluster()
  try {
    for (const wish of three.filter(({ name }) => name !== 'b')) cluster.add(wish)
    cluster.tell()
    await use(cluster)
  } finally {
    await cluster.close()
  }
}

const withList = (member: Member): Member => {
  // The fake pods' link has the addresses that a real pod's gateway gets.
  member.host.netns.ip('link', 'del', 'pods')
  member.agent.start(['--conflist', pathOf(member)])
  return member
}

test('the agent makes a node fit for pods, and pods of two nodes reach each other', (t) =>
  withLists(async (cluster) => {
    const [a, c] = [withList(cluster.get('a')), withList(cluster.get('c'))]
    const pods = [makeNetns('pod-a'), makeNetns('pod-c')] as const
    try {
      await a.agent.ready()
      await c.agent.ready()
      const [plugin] = listOf(a).plugins
      t.match(plugin, {
        type: 'tulle',
        mode: 'routed',
        mtu: 1430,
        ipMasq: true,
        ipam: { ranges: [[{ subnet: '10.244.1.0/24' }], [{ subnet: 'fd10:1::/64' }]] },
      })
      const installed = statSync(join(a.agent.folder, 'bin', '.tulle', 'tulle'))
      t.equal(installed.size, statSync(executable).size)
      t.same(readLauncher(join(a.agent.folder, 'bin', 'tulle')), {
        executable: join(a.agent.folder, 'bin', '.tulle', 'tulle'),
        socket: join(a.agent.folder, 'run', 'cni.sock'),
      })
      t.ok(installed.mtimeMs <= statSync(pathOf(a)).mtimeMs, 'the list comes last')
      add(a, pods[0])
      for (const address of add(c, pods[1]).split(' ')) {
        const ping = pods[0].exec(['ping', '-n', '-c', '1', '-W', '3', '-M', 'do', address])
        t.equal(ping.code, 0, `${address}: ${ping.stdout}`)
      }
      const { leases } = await a.agent.status()
      t.match(leases, { used: 2, ranges: [{ used: 1, free: 252 }, { used: 1 }] })
    } finally {
      for (const pod of pods) pod.close()
    }
  }))

test('the executable alone, where the launcher is not wanted, and back', (t) =>
  withLists(async (cluster) => {
    const a = withList(cluster.get('a'))
    const bin = join(a.agent.folder, 'bin')
    const isLauncher = (): boolean => readLauncher(join(bin, 'tulle')) !== undefined
    const names = (): readonly string[] => readdirSync(bin).toSorted()
    await a.agent.ready()
    t.same([isLauncher(), names()], [true, ['.tulle', 'tulle']])
    await a.agent.end('SIGTERM')
    a.agent.start(['--conflist', pathOf(a), '--no-warm'])
    await until('no launcher', () => !isLauncher() && !names().includes('.tulle'))
    t.equal(statSync(join(bin, 'tulle')).size, statSync(executable).size)
    t.same(names(), ['tulle'])
    await a.agent.end('SIGTERM')
    a.agent.start(['--conflist', pathOf(a)])
    await until('the launcher', isLauncher)
    rmSync(join(bin, 'tulle'))
    rmSync(pathOf(a))
    await until('what somebody deletes is back', () => existsSync(join(bin, 'tulle')))
    t.ok(isLauncher())
  }))

test('a list that somebody deletes or changes is written again, and counted', (t) =>
  withLists(async (cluster) => {
    const a = withList(cluster.get('a'))
    await a.agent.ready()
    const text = readFileSync(pathOf(a), 'utf8')
    rmSync(pathOf(a))
    await until('it is back', () => existsSync(pathOf(a)))
    writeFileSync(pathOf(a), '{}')
    await until('it is whole', () => readFileSync(pathOf(a), 'utf8') === text)
    await until('both are counted', async () => {
      const { byKind } = (await a.agent.status()).drift
      return byKind.conflist === 2
    })
    t.pass()
  }))

test("another network's list before ours is an error, until it is gone", (t) =>
  withLists(async (cluster) => {
    const a = cluster.get('a')
    const folder = join(a.agent.folder, 'net.d')
    mkdirSync(folder)
    writeFileSync(join(folder, '05-other.conf'), '{}')
    writeFileSync(join(folder, '99-later.conf'), '{}')
    withList(a)
    const finding = await until('the finding', async () =>
      (await a.agent.status()).findings.find(({ check }) => check === 'two-networks'),
    )
    t.match(finding, { severity: 'error', subject: '05-other.conf' })
    t.match(await a.agent.get('/readyz'), { code: 503 })
    t.notOk(existsSync(pathOf(a)))
    rmSync(join(folder, '05-other.conf'))
    await a.agent.ready()
    t.ok(existsSync(pathOf(a)))
    t.match(await a.agent.get('/readyz'), { code: 200 })
  }))

test('a node without podCIDR waits for one, and says so', (t) =>
  withKubernetes(three.slice(0, 1), async (cluster, api) => {
    const { host } = cluster.get('a')
    const wish = { name: 'd', addresses: ['10.0.0.4'], podCIDRs: [] }
    const member = cluster.add(wish, ['--kubeconfig', api.kubeconfig])
    await api.put(member.host.node)
    member.agent.start(['--conflist', pathOf(member)])
    await until('the finding', async () =>
      (await member.agent.status()).findings.some(({ check }) => check === 'no-pod-cidr'),
    )
    t.notOk(existsSync(pathOf(member)))
    await api.change({ ...member.host.node, podCIDRs: host.node.podCIDRs.slice(0, 1) })
    await until('a shared one is refused', async () =>
      (await member.agent.status()).findings.some(
        ({ check, severity }) => check === 'duplicate-pod-cidr' && severity === 'error',
      ),
    )
    t.notOk(existsSync(pathOf(member)))
    await api.delete('a')
    await member.agent.ready()
    t.match(listOf(member).plugins[0], { ipam: { ranges: [[{ subnet: '10.244.1.0/24' }]] } })
  }))
