// A node loses power (every process killed, every namespace gone) while the API server is away: a
// pod starts all the same, closed until its policies are known; then everything is as it was.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { until } from '../machine/until.ts'
import { liveCluster, withNamespace } from './live-cluster.ts'
import { stateOf } from './node-state.ts'
import { answersOf, fromOutside, httpPort, listPods, lost, podObject, startPods } from './pods.ts'

t.setTimeout(600_000)

const cluster = liveCluster()
const node = cluster.node('w2')
const manifest = join(node.computer.disk, 'etc/kubernetes/manifests/static.json')
/** The kubelet tries the API again after up to half a minute, and then the agent starts. */
const patience = { limitMs: 180_000, pauseMs: 500 }

t.test('power loss without the API: pods start, are closed, and open when it is back', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const wishes = cluster.nodes.map(({ name }) => ({ name: `on-${name}`, node: name }))
    await startPods(cluster, namespace, wishes)
    const before = await stateOf(node)

    await cluster.controlPlane.apiServer.stop('SIGKILL')
    await node.powerOff()
    writeFileSync(manifest, JSON.stringify(staticPod(namespace)))
    try {
      await node.boot()
      node.join()
      await until('the static pod', async () => (await currentAddresses()).length === 2, patience)
      const addresses = await currentAddresses()
      for (const ip of addresses) {
        test.equal(await pings('w2', ip), true, `its own node reaches ${ip}, as probes have to`)
        test.equal(await pings('w1', ip), false, 'nobody else does: its policies are not known')
      }

      await cluster.controlPlane.startApiServer()
      const [host = ''] = addresses
      const opens = async (): Promise<boolean> =>
        (await fromOutside(cluster, { host, port: httpPort }, 'hostname')) !== lost
      await until('the static pod to be open', opens, patience)
      await until('all pods to reach all', () => allReach(namespace), patience)
      test.pass('the static pod is open, the others have come back, and all reach all')
    } finally {
      rmSync(manifest)
    }
    const same = async (): Promise<boolean> => {
      const after = await stateOf(node)
      return (['leases', 'links'] as const).every((key) => after[key].length === before[key].length)
    }
    await until('the node to have as many leases and links as before', same, patience)
    test.ok(await same(), 'nothing of the life before is left')
  }),
)

/** As an operator puts it on a disk: its namespace has to be there when the API is. */
function staticPod(namespace: string): object {
  const { metadata, spec, ...pod } = podObject({ name: 'static' })
  return { ...pod, metadata: { ...metadata, namespace }, spec }
}

/** Leases of this life of the node: those of the one before are on its disk, and are not. */
async function currentAddresses(): Promise<readonly string[]> {
  const words = ['/opt/cni/bin/tulle', 'ipam', 'list', '--json']
  const { isCurrent, leases } = JSON.parse(await node.computer.must(words)) as Listed
  return isCurrent ? leases.map(({ address }) => address) : []
}

type Listed = Readonly<{ isCurrent: boolean; leases: readonly { readonly address: string }[] }>

async function pings(from: string, ip: string): Promise<boolean> {
  const words = ['ping', '-n', '-c', '1', '-W', '2', ip]
  return (await cluster.node(from).computer.exec(words)).code === 0
}

/** Each of the namespace's pods is answered by each one itself, at all its addresses. */
async function allReach(namespace: string): Promise<boolean> {
  const pods = await listPods(cluster, namespace)
  const targets = pods.flatMap(({ name, ips }) =>
    ips.map((host) => ({ host, port: httpPort, name })),
  )
  const answers = await Promise.all(pods.map((pod) => answersOf(cluster, pod, targets, 'hostname')))
  const names = targets.map(({ name }) => name)
  return answers.every((said) =>
    isDeepStrictEqual(
      said.map((one) => one.said),
      names,
    ),
  )
}
