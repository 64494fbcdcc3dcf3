// A hundred pods at once on one node under a real kubelet, and again with its containerd killed in
// the middle: all get ready, all are reached, and nothing of them is left when they go.
import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import type { ClusterNode } from '../machine/node.ts'
import { until } from '../machine/until.ts'
import { imageNames } from '../tools/images.ts'
import { liveCluster, withNamespace } from './live-cluster.ts'
import { containersOf, type NodeState, namespacesOf, stateOf } from './node-state.ts'
import { withPeerNetwork } from './peer-network.ts'
import { type LivePod, readyPods, startPods } from './pods.ts'

t.setTimeout(600_000)

const cluster = liveCluster()
const node = cluster.node('w2')
const containers = await containersOf(node)
/** How long a hundred pods took with Tulle. */
let readyMs = Number.NaN

t.test('100 pods created at once get ready, are reached, and leave nothing', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const before = await stateOf(node)
    const started = performance.now()
    await scale(namespace, 100)
    const pods = await readyPods(cluster, namespace, 240)
    readyMs = performance.now() - started
    test.comment(`100 pods ready after ${seconds(started)}`)
    test.equal(pods.length, 100)
    test.equal(new Set(pods.flatMap(({ ips }) => ips)).size, 200, 'an address of each family each')
    test.same(await unreached(pods), [], 'the node behind the router reaches all of them')

    const deleted = performance.now()
    await remove(namespace)
    await checkSame(test, before)
    test.comment(`nothing left after ${seconds(deleted)}`)
  }),
)

t.test('the same with the reference plugins on the same node', (test) =>
  withNamespace(test, cluster, (namespace) =>
    withPeerNetwork(node, async () => {
      const started = performance.now()
      await scale(namespace, 100)
      const pods = await readyPods(cluster, namespace, 240)
      const peerMs = performance.now() - started
      test.comment(`100 pods ready after ${seconds(started)}`)
      const ratio = (readyMs / peerMs).toFixed(2)
      test.comment(`Tulle ÷ reference plugins: ${ratio}`)
      const foreign = pods.filter(({ ips }) => ips[0]?.startsWith('10.88.'))
      test.equal(foreign.length, 100, 'the pods had the other network')
      await remove(namespace)
    }),
  ),
)

t.test('containerd killed in the middle of 30 sandboxes', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const before = await stateOf(node)
    await scale(namespace, 30)
    const some = async (): Promise<boolean> =>
      (await namespacesOf(node)).length > before.namespaces.length + 3
    await until('the first sandboxes', some, { pauseMs: 20 })
    await node.containerd.stop('SIGKILL')
    await node.startContainerd()
    test.equal((await readyPods(cluster, namespace, 240)).length, 30, 'all are ready')
    const words = ['get', 'events', '--field-selector=reason=FailedCreatePodSandBox', '-o', 'name']
    const cut = (await cluster.must(['-n', namespace, ...words])).split('\n').filter(Boolean)
    test.comment(`${cut.length} were cut in the middle`)
    test.not(cut.length, 0, 'some were cut in the middle')
    await remove(namespace)
    // A namespace that containerd had made and not yet written down is nobody's to remove: it
    // stays until the node's next boot, whichever the network. Nothing of ours may be in it.
    const empty = { ...before, namespaces: [] }
    await checkSame(test, empty, async () => ({ ...(await stateOf(node)), namespaces: [] }))
    for (const name of await namespacesOf(node)) {
      if (before.namespaces.includes(name)) continue
      const links = await node.computer.must(['ip', '-n', name, '-j', 'link', 'show'])
      const names = (JSON.parse(links) as readonly { ifname: string }[]).map((one) => one.ifname)
      test.same(names, ['lo'], `nothing is in ${name}, which containerd left`)
    }
  }),
)

t.test('a pod whose containers end keeps its address; one that is replaced leaves none', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const before = await stateOf(node)
    const [first] = await startPods(cluster, namespace, [{ name: 'again', node: node.name }])
    const words = ['-n', namespace, 'exec', 'again', '--', 'sh', '-c', 'kill 1']
    await cluster.kubectl(words)
    await until('the next container', async () => {
      const path = 'jsonpath={.status.containerStatuses[0].restartCount}'
      return (await cluster.must(['-n', namespace, 'get', 'pod', 'again', '-o', path])) === '1'
    })
    const [again] = await readyPods(cluster, namespace, 60)
    test.same(again?.ips, first?.ips, 'the same addresses')
    await cluster.must(['-n', namespace, 'delete', 'pod', 'again'])
    await checkSame(test, before)
  }),
)

t.test(
  "the kubelet's garbage collection takes the last records, and nothing else",
  async (test) => {
    const before = await stateOf(node)
    const few = async (): Promise<boolean> => (await containersOf(node)).length <= containers.length
    await until('the records to go', few, { limitMs: 150_000, pauseMs: 2_000 })
    test.same(await stateOf(node), before, 'the pods that stay keep their network')
  },
)

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`

/** Many pods of one Deployment, all on the node; they do nothing but be there. */
async function scale(namespace: string, replicas: number): Promise<void> {
  const labels = { app: 'crowd' }
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'crowd' },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          nodeSelector: { 'kubernetes.io/hostname': node.name },
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'main', image: imageNames.pause[0], imagePullPolicy: 'Never' }],
        },
      },
    },
  }
  await cluster.put(deployment, namespace)
  await until(`${replicas} pods to be made`, async () => {
    const shown = await cluster.must(['-n', namespace, 'get', 'pods', '-o', 'name'])
    return shown.split('\n').filter(Boolean).length === replicas
  })
}

/** The addresses that a node does not reach: its answers come by the tunnel. */
async function unreached(pods: readonly LivePod[]): Promise<readonly string[]> {
  const from: ClusterNode = cluster.node('w3')
  const asked = pods.flatMap(({ ips }) =>
    ips.map(async (ip) => {
      const ping = await from.computer.exec(['ping', '-n', '-c', '1', '-W', '5', ip])
      return ping.code === 0 ? [] : [ip]
    }),
  )
  return (await Promise.all(asked)).flat()
}

/** Until the API has forgotten the last pod. */
function remove(namespace: string): Promise<string> {
  const words = ['delete', 'deployment', 'crowd', '--cascade=foreground']
  return cluster.must(['-n', namespace, ...words], { timeoutMs: 240_000 })
}

async function checkSame(
  test: Test,
  before: NodeState,
  look = (): Promise<NodeState> => stateOf(node),
): Promise<void> {
  // The API forgets a pod when its containers have ended; its network goes a moment later.
  const same = async (): Promise<boolean> => isDeepStrictEqual(await look(), before)
  await until('the node to be as before', same, { limitMs: 30_000 }).catch(() => undefined)
  test.same(await look(), before, 'nothing is left: leases, links, namespaces, elements')
}
