// Tulle as a DaemonSet of real pods, and what it is for: every pod reaches every other one, on its
// node, on the next one, and on the one behind a router; with its own address, in both families.
import t from 'tap'
import { apiServices } from '../machine/places.ts'
import { liveCluster, withNamespace } from './live-cluster.ts'
import {
  addressIn,
  answersOf,
  hostPort,
  httpPort,
  type LivePod,
  startPods,
  type Target,
} from './pods.ts'

t.setTimeout(300_000)

const cluster = liveCluster()
const { nodes } = cluster

t.test('every pod reaches every pod with its own address, IPv4 and IPv6', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const names = ['a', 'b']
    const wishes = nodes.flatMap(({ name: node }) =>
      names.map((name) => ({ name: `${node}-${name}`, node })),
    )
    const pods = await startPods(cluster, namespace, wishes)
    test.equal(pods.length, nodes.length * names.length, 'two pods on every node')
    const targets = pods.flatMap(({ ips }) => ips.map((host) => ({ host, port: httpPort })))
    test.equal(targets.length, 2 * pods.length, 'each has an address of each family')
    for (const pod of pods) {
      const answers = await answersOf(cluster, pod, targets, 'clientip')
      const wrong = answers.filter((answer) => addressIn(answer.said) !== ownFor(pod, answer))
      test.same(wrong, [], `${pod.name} reaches all, and all see its own address`)
    }
  }),
)

/** The pod's own address of the family that the target is of. */
function ownFor({ ips }: LivePod, { host }: Target): string | undefined {
  return ips.find((ip) => ip.includes(':') === host.includes(':'))
}

t.test('a pod reaches nodes and the API server, a node its pods', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const wishes = nodes.map(({ name: node }) => ({ name: `on-${node}`, node }))
    const pods = await startPods(cluster, namespace, wishes)
    for (const pod of pods) {
      const kubelets = nodes.flatMap(({ site }) => [
        hostPort(site.v4, 10250),
        hostPort(site.v6, 10250),
      ])
      for (const target of [...kubelets, hostPort(apiServices[0], 443)]) {
        const words = ['/agnhost', 'connect', target, '--timeout', '3s']
        const asked = await cluster.kubectl(['-n', namespace, 'exec', pod.name, '--', ...words])
        test.equal(asked.code, 0, `${pod.name} reaches ${target}`)
      }
    }
    for (const node of nodes) {
      const targets = pods.flatMap(({ ips }) => ips)
      for (const ip of targets) {
        const ping = await node.computer.exec(['ping', '-n', '-c', '1', '-W', '3', ip])
        test.equal(ping.code, 0, `${node.name} reaches ${ip}`)
      }
    }
  }),
)

t.test('kubectl exec and logs, and large packets through the tunnel', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const wishes = ['w1', 'w3'].map((node) => ({ name: `on-${node}`, node }))
    const [near, far] = await startPods(cluster, namespace, wishes)
    if (!near || !far) throw new Error('Two pods were asked for')
    // Full segments, which a wrong MTU would lose.
    const text = 'x'.repeat(6000)
    const targets = far.ips.map((host) => ({ host, port: httpPort }))
    const answers = await answersOf(cluster, near, targets, `echo?msg=${text}`)
    const lengths = answers.map(({ said }) => said.length)
    test.same(lengths, [text.length, text.length], 'both addresses answer at length')
    const said = await cluster.must([
      '-n',
      namespace,
      'exec',
      near.name,
      '--',
      'sh',
      '-c',
      'echo $HOSTNAME',
    ])
    test.equal(said.trim(), near.name, 'exec runs in the pod')
    const logs = await cluster.must(['-n', namespace, 'logs', far.name])
    test.match(logs, /GET \/echo/, 'the log of the pod that was asked')
  }),
)
