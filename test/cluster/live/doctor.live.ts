// What goes wrong when somebody installs a pod network, brought about on a running cluster: each
// time `tulle doctor` names it, in the DaemonSet's pod and on the node, and is well again after.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runLater } from '../../support/netns.ts'
import { netnsOf } from '../machine/underlay.ts'
import { until } from '../machine/until.ts'
import { Agents, agentNamespace } from './agents.ts'
import { liveCluster } from './live-cluster.ts'

t.setTimeout(600_000)

const cluster = liveCluster()
const agents = new Agents(cluster)

type Drill = Readonly<{
  why: string
  /** Where doctor is asked. */
  node: string
  act: () => Promise<void>
  mend: () => Promise<void>
  check: string
  /** In what doctor found, or in what it says that it means. */
  cause: RegExp
  remedy: RegExp
}>

const conflist = join(cluster.node('w1').computer.disk, 'etc/cni/net.d/05-other.conflist')
const other = { cniVersion: '1.0.0', name: 'other', plugins: [{ type: 'bridge' }] }
/** Between w3 and the others: what every packet of the tunnel comes by. */
const router = netnsOf('net')

/**
 * A rule of the router between the nodes. An agent that starts asks the others at once; one that
 * runs takes half a minute for a round.
 */
const onTheWay = (rule: string): Pick<Drill, 'node' | 'act' | 'mend'> => ({
  node: 'w1',
  act: async () => {
    await nft(
      'add table inet drill',
      'add chain inet drill forward { type filter hook forward priority 0; }',
      `add rule inet drill forward ${rule}`,
    )
    await agents.restart('w1')
  },
  mend: () => nft('delete table inet drill'),
})

const drills: readonly Drill[] = [
  {
    why: 'a right is missing in the ClusterRole',
    node: 'w1',
    act: async () => {
      const rules = await rulesOfRole()
      const lacking = rules.filter(({ resources }) => !resources.includes('networkpolicies'))
      await patchRole(lacking)
      await agents.restart('w1')
    },
    mend: async () => {
      await cluster.must(['apply', '-f', manifest])
    },
    check: 'rights-missing',
    cause: /Not allowed: list networkpolicies/,
    remedy: /ClusterRole "tulle".*networking\.k8s\.io.*networkpolicies/,
  },
  {
    why: 'a second network is before ours',
    node: 'w1',
    act: async () => writeFileSync(conflist, JSON.stringify(other)),
    mend: async () => rmSync(conflist),
    check: 'network',
    cause: /runtimes take .*05-other.conflist.*the first by name.*10-tulle.conflist/,
    remedy: /move .*05-other.conflist out of the folder/,
  },
  {
    why: 'the tunnel’s port is blocked between nodes',
    ...onTheWay('udp dport 8472 drop'),
    check: 'tunnel-blocked',
    cause: /something between the nodes eats UDP 8472/,
    remedy: /let UDP 8472 pass between all nodes/,
  },
  {
    why: 'the router passes smaller packets than the nodes’ links say',
    ...onTheWay('udp dport 8472 meta length > 1300 drop'),
    check: 'mtu-black-hole',
    cause: /the largest that passes has/,
    remedy: /mtu/i,
  },
]

for (const { why, node, act, mend, check, cause, remedy } of drills)
  t.test(`doctor names it, in the pod and on the node: ${why}`, async (test) => {
    try {
      await act()
      const told = await Promise.all([inPod(node, check), onNode(node, check)])
      for (const [at, where] of ['in the pod', 'on the node'].entries()) {
        const one = told[at]
        test.equal(one?.verdict, 'error', `${where}: ${check}`)
        test.match(`${one?.found}; ${one?.meaning}`, cause, `${where}: ${one?.found}`)
        test.match(one?.remedy, remedy, `${where}: ${one?.remedy}`)
      }
    } finally {
      await mend()
    }
    await wellAgain(test)
  })

t.test('doctor names it: a node without podCIDR', async (test) => {
  // podCIDRs are for a Node's whole life: the one of w3 is made anew by its kubelet, and the
  // controller that gives them is away meanwhile.
  const { controlPlane } = cluster
  const { kubelet } = cluster.node('w3')
  try {
    await controlPlane.controllerManager.stop()
    await kubelet.stop()
    await cluster.must(['delete', 'node', 'w3'])
    kubelet.start()
    await until('w3 to be a Node again', async () => {
      const words = ['get', 'node', 'w3', '-o', 'jsonpath={.spec.podCIDRs}']
      return (await cluster.must(words)) === ''
    })
    const told = await onNode('w3', 'no-pod-cidr')
    test.equal(told.verdict, 'error', 'on the node: no-pod-cidr')
    test.match(told.meaning, /Node w3 has no podCIDR/, `on the node: ${told.meaning}`)
    test.match(told.remedy, /--allocate-node-cidrs/, `on the node: ${told.remedy}`)
  } finally {
    controlPlane.controllerManager.start()
    kubelet.start()
  }
  await wellAgain(test)
})

type Told = Readonly<{ verdict: string; found: string; meaning?: string; remedy?: string }>
type Doctor = Readonly<{ isWell: boolean; checks: readonly (Told & { check: string })[] }>

/** Waits until doctor tells of it: probes and resyncs have their time. */
const toldOf = (check: string, ask: () => Promise<Doctor>): Promise<Told> =>
  until(`doctor to tell of ${check}`, async () => {
    const { checks } = await ask()
    const told = checks.find((one) => one.check === check && one.verdict === 'error')
    if (told) return told
    throw new Error(JSON.stringify(checks.filter(({ verdict }) => verdict !== 'ok')))
  })

const onNode = (node: string, check: string): Promise<Told> =>
  toldOf(check, async () => JSON.parse(await agents.tool(node, ['doctor', '--json'])) as Doctor)

const inPod = (node: string, check: string): Promise<Told> => toldOf(check, () => doctorInPod(node))

async function doctorInPod(node: string): Promise<Doctor> {
  const pod = (await agents.pods()).find((one) => one.node === node)
  if (!pod) throw new Error(`There is no agent on ${node}`)
  const words = ['-n', agentNamespace, 'exec', pod.name, '--', 'tulle', 'doctor', '--json']
  return JSON.parse((await cluster.kubectl(words)).stdout) as Doctor
}

async function wellAgain(test: Test): Promise<void> {
  await cluster.nodesReady()
  await cluster.rolledOut(agentNamespace)
  const wrong = async (): Promise<readonly unknown[]> => {
    const all = await Promise.all(
      cluster.nodes.flatMap(({ name }) => [
        agents.tool(name, ['doctor', '--json']).then((said) => JSON.parse(said) as Doctor),
        doctorInPod(name),
      ]),
    )
    return all.flatMap(({ checks }) =>
      checks.filter(({ verdict }) => verdict === 'error' || verdict === 'warning'),
    )
  }
  let last: readonly unknown[] = []
  const isWell = async (): Promise<boolean> => {
    last = await wrong()
    return last.length === 0
  }
  await until('doctor to be content', isWell, { pauseMs: 1_000 }).catch(() => undefined)
  test.same(last, [], 'nothing is wrong any more, on any node')
}

async function nft(...lines: readonly string[]): Promise<void> {
  const input = `${lines.join('\n')}\n`
  const done = await runLater(['ip', 'netns', 'exec', router, 'nft', '-f', '-'], { input })
  if (done.code !== 0) throw new Error(`Cannot nft ${lines.join('; ')}: ${done.stderr}`)
}

const manifest = new URL('../../../conf/tulle.yaml', import.meta.url).pathname

type RoleRule = Readonly<{ resources: readonly string[] }>

async function rulesOfRole(): Promise<readonly RoleRule[]> {
  const said = await cluster.must(['get', 'clusterrole', 'tulle', '-o', 'json'])
  return (JSON.parse(said) as { readonly rules: readonly RoleRule[] }).rules
}

const patchRole = (rules: readonly RoleRule[]): Promise<string> =>
  cluster.must([
    ...['patch', 'clusterrole', 'tulle', '--type=merge', '-p', JSON.stringify({ rules })],
  ])
