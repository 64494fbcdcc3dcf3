// NetworkPolicies of a real API server, on packets between real pods; Kubernetes' own suite says
// the rest. `tulle policy wait` tells when a policy is in force on every node.
import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { until } from '../machine/until.ts'
import { liveCluster, withNamespace } from './live-cluster.ts'
import { fromOutside, hostPort, httpPort, type LivePod, lost, startPods } from './pods.ts'

t.setTimeout(300_000)

const cluster = liveCluster()

t.test('default deny, then one client is let in, then all again', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    const pods = await startPods(cluster, namespace, [
      { name: 'api', node: 'w2', labels: { role: 'api' } },
      { name: 'web', node: 'w2', labels: { role: 'web' } },
      { name: 'far-web', node: 'w3', labels: { role: 'web' } },
      { name: 'stranger', node: 'w1' },
    ])
    const everybody = { open: ['far-web', 'stranger', 'web'], outside: true }
    test.same(await reach(pods), everybody, 'open, where there is no policy')

    await cluster.put(deny, namespace)
    await inForce()
    test.same(await reach(pods), { open: [], outside: false }, 'closed for all')
    test.ok(await isReady(namespace, 'api'), 'the kubelet still probes it')

    await cluster.put(allowWeb, namespace)
    await inForce()
    const webs = ['far-web', 'web']
    test.same(await reach(pods), { open: webs, outside: false }, 'open for its clients')

    await cluster.must(['-n', namespace, 'label', 'pod', 'stranger', 'role=web'])
    const labelled = { open: ['far-web', 'stranger', 'web'], outside: false }
    await soon(test, pods, labelled, 'open for who becomes a client')

    await cluster.must(['-n', namespace, 'delete', 'networkpolicy', '--all'])
    await soon(test, pods, everybody, 'open again without policies')
  }),
)

t.test('a new pod of a closed namespace is closed from its first packet', (test) =>
  withNamespace(test, cluster, async (namespace) => {
    await cluster.put(deny, namespace)
    const [client] = await startPods(cluster, namespace, [{ name: 'client', node: 'w1' }])
    const pods = await startPods(cluster, namespace, [{ name: 'late', node: 'w3' }])
    const late = pods.find(({ name }) => name === 'late')
    if (!client || !late) throw new Error('Two pods were asked for')
    const answers = await cluster.kubectl([
      ...['-n', namespace, 'exec', client.name, '--'],
      ...['/agnhost', 'connect', `${late.ips[0]}:${httpPort}`, '--timeout', '1s'],
    ])
    test.match(answers.stdout + answers.stderr, /TIMEOUT/, 'no answer')
  }),
)

const policy = (name: string, spec: object): object => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name },
  spec,
})

/** Every pod of the namespace is closed for what comes; what it asks itself goes out. */
const deny = policy('deny', { podSelector: {}, policyTypes: ['Ingress'] })
const allowWeb = policy('allow-web', {
  podSelector: { matchLabels: { role: 'api' } },
  ingress: [
    {
      from: [{ podSelector: { matchLabels: { role: 'web' } } }],
      ports: [{ port: httpPort, protocol: 'TCP' }],
    },
  ],
})

type Reach = Readonly<{ open: readonly string[]; outside: boolean }>

/** Who reaches the pod "api" over every family; who does over one alone is told so. */
async function reach(pods: readonly LivePod[]): Promise<Reach> {
  const api = pods.find(({ name }) => name === 'api')
  if (!api) throw new Error('There is no api')
  const clients = pods.filter((pod) => pod !== api)
  const asked = clients.map(async (pod) => {
    const codes = await Promise.all(api.ips.map((ip) => connects(pod, ip)))
    if (new Set(codes).size > 1) return [`${pod.name}: ${codes.join(', ')}`]
    return codes.every((code) => code === 0) ? [pod.name] : []
  })
  const target = { host: api.ips[0] ?? '', port: httpPort }
  const said = await fromOutside(cluster, target, 'hostname')
  return { open: (await Promise.all(asked)).flat().toSorted(), outside: said !== lost }
}

async function connects({ namespace, name }: LivePod, ip: string): Promise<number> {
  const words = ['/agnhost', 'connect', hostPort(ip, httpPort), '--timeout', '1s']
  return (await cluster.kubectl(['-n', namespace, 'exec', name, '--', ...words])).code
}

/** Where the API has no revision to wait for: labels, and policies that are gone. */
async function soon(
  test: Test,
  pods: readonly LivePod[],
  wanted: Reach,
  what: string,
): Promise<void> {
  const ask = async (): Promise<boolean> => isDeepStrictEqual(await reach(pods), wanted)
  test.ok(await until(what, ask, { limitMs: 15_000 }).then(() => true), what)
}

/** Every node's agent says that the API's newest policies are in its kernel. */
async function inForce(): Promise<void> {
  const waited = await cluster.controlPlane.run([
    'dist/tulle',
    'policy',
    'wait',
    '--timeout',
    '20s',
  ])
  if (waited.code !== 0) throw new Error(`tulle policy wait: ${waited.stdout}${waited.stderr}`)
}

async function isReady(namespace: string, name: string): Promise<boolean> {
  const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
  return (await cluster.must(['-n', namespace, 'get', 'pod', name, '-o', path])) === 'True'
}
