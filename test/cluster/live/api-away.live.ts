// The API server and its store are away: packets go on, an agent that dies comes back and keeps
// everything, and a pod whose sandbox dies is made anew and is policed. TULLE_API_AWAY_SECONDS says
// for how long; ten minutes are for the night.
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { runLater } from '../../support/netns.ts'
import type { Cluster } from '../machine/cluster.ts'
import { until } from '../machine/until.ts'
import { type AgentPod, Agents } from './agents.ts'
import { liveCluster, withNamespace } from './live-cluster.ts'
import { pauseProgram, processesOfUid, uidOf } from './pod-processes.ts'
import { type LivePod, startPods } from './pods.ts'
import { openPort, PolicedField, protocols } from './policed-field.ts'

t.setTimeout(1_500_000)

const awaySeconds = Number(process.env.TULLE_API_AWAY_SECONDS ?? 60)
const cluster = liveCluster()
const agents = new Agents(cluster)

t.test(`the API server is away for ${awaySeconds} s`, (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const field = await PolicedField.make(cluster, namespace)
    try {
      // Not of the field's flows: these end with their sandbox.
      const remade = await startRemade(namespace)
      const agentPods = await agents.pods()
      /** Addresses of those that were made anew. */
      const now = new Map<string, readonly string[]>()
      await field.begin()
      const end = performance.now() + awaySeconds * 1000
      await takeAway(cluster)
      try {
        await killAgent(test, agentPods)
        for (const one of remade) {
          const { name } = one.pod
          const addresses = await remake(field, one)
          now.set(name, addresses)
          test.equal(addresses.length, 2, `${name}: made anew without the API: ${addresses}`)
          // What an agent has not been told since its start it does not guess: closed until then.
          const wanted = one.pod.node === killedOn ? 'closed' : 'policed'
          test.same(await wrongOf(field, { name, addresses, wanted }), [], `${name}: ${wanted}`)
        }
        await sleep(Math.max(0, end - performance.now()))
        test.ok(performance.now() >= end, `the API was away for ${awaySeconds} s`)
      } finally {
        await bringBack(cluster)
      }
      await agents.allReady()
      await field.end(test, 'API server away')
      await field.settled()
      test.pass('new connections go as policies say, once the API is back')
      for (const { pod } of remade) {
        const one = {
          name: pod.name,
          addresses: now.get(pod.name) ?? [],
          wanted: 'policed',
        } as const
        const isPoliced = async (): Promise<boolean> => (await wrongOf(field, one)).length === 0
        await until(`${pod.name} to be policed`, isPoliced, { limitMs: 120_000 })
        test.pass(`${pod.name}: policed, with the API back`)
      }
      test.same(await agents.complaints(), [], 'every agent says that all is well')
    } finally {
      field.close()
    }
  }),
)

async function takeAway({ controlPlane }: Cluster): Promise<void> {
  await controlPlane.apiServer.stop('SIGKILL')
  await controlPlane.etcd.stop()
}

/** The controllers end themselves if they wait too long for it; those that did start again. */
async function bringBack({ controlPlane }: Cluster): Promise<void> {
  await controlPlane.start()
  await controlPlane.reachable()
}

type Remade = Readonly<{ pod: LivePod; uid: string }>

/** Let in by the policy of those that are made anew; no policy is about itself. */
const friend = 'stranger-w2'
const policy = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'remade' },
  spec: {
    podSelector: { matchLabels: { role: 'remade' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: friend } } }] }],
  },
}

/** One on a node whose agent lives on, and one where it has been killed before. */
const killedOn = 'w3'
const remadeOn = ['w1', killedOn] as const

async function startRemade(namespace: string): Promise<readonly Remade[]> {
  await cluster.put(policy, namespace)
  const wishes = remadeOn.map((node) => ({
    ...{ name: `remade-${node}`, node },
    labels: { role: 'remade' },
  }))
  const pods = await startPods(cluster, namespace, wishes)
  return Promise.all(
    wishes.map(async ({ name }) => {
      const pod = pods.find((one) => one.name === name)
      if (!pod) throw new Error(`There is no ${name}`)
      return { pod, uid: await uidOf(cluster, namespace, name) }
    }),
  )
}

async function killAgent(test: Test, pods: readonly AgentPod[]): Promise<void> {
  const pod = pods.find(({ node }) => node === killedOn)
  if (!pod) throw new Error(`No agent on ${killedOn}`)
  const { since } = await agents.status(killedOn)
  agents.kill(pod)
  const isBack = async (): Promise<boolean> => (await agents.status(killedOn)).since !== since
  await until('the agent to be back', isBack)
  test.pass(`${killedOn}: the agent that was killed runs again`)
}

/** The kubelet makes it anew without being told to, with other addresses. */
async function remake(field: PolicedField, { pod, uid }: Remade): Promise<readonly string[]> {
  const pauseOf = (): number | undefined =>
    processesOfUid(uid).find(({ program }) => program === pauseProgram)?.pid
  const old = pauseOf()
  if (old === undefined) throw new Error(`${pod.name} has no sandbox`)
  process.kill(old, 'SIGKILL')
  await until(`${pod.name} to be made anew`, () => {
    const now = pauseOf()
    return now !== undefined && now !== old && isServing(uid)
  })
  const pause = pauseOf()
  if (pause === undefined) throw new Error(`${pod.name} has no sandbox`)
  field.traffic.addNetns(pod.name, pause)
  await field.traffic.listen(pod.name, [openPort])
  return addressesIn(pause)
}

const isServing = (uid: string): boolean =>
  processesOfUid(uid).some(({ program }) => program === 'agnhost')

/** Of eth0, IPv4 first. */
async function addressesIn(pid: number): Promise<readonly string[]> {
  const words = ['-j', 'addr', 'show', 'dev', 'eth0', 'scope', 'global']
  const { stdout } = await runLater(['nsenter', `--net=/proc/${pid}/ns/net`, 'ip', ...words])
  const [link] = JSON.parse(stdout) as readonly { addr_info: readonly { local?: string }[] }[]
  return (link?.addr_info ?? []).flatMap(({ local }) => local ?? [])
}

type Wanted = Readonly<{
  name: string
  addresses: readonly string[]
  wanted: 'policed' | 'closed'
}>

/** Who goes to it and where it goes, new connections, as far as it is not as it should be. */
async function wrongOf(
  { strangers, traffic }: PolicedField,
  { name, addresses, wanted: state }: Wanted,
): Promise<readonly string[]> {
  const open = state === 'closed' ? 'silent' : 'answered'
  const asked = protocols.flatMap((protocol) => [
    ...strangers.flatMap(({ name: from }) =>
      addresses.map((address) => ({
        probe: { from, address, protocol, port: openPort },
        wanted: from === friend ? open : 'silent',
      })),
    ),
    ...strangers.flatMap(({ ips }) =>
      ips.map((address) => ({
        probe: { from: name, address, protocol, port: openPort },
        wanted: open,
      })),
    ),
  ])
  const answers = await traffic.ask(asked.map(({ probe }) => probe))
  return asked.flatMap(({ probe, wanted }, at) => {
    const { from, address, protocol } = probe
    return answers[at] === wanted ? [] : [`${from} > ${address} ${protocol}: ${answers[at]}`]
  })
}
