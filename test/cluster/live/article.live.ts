// The article's manifests as kubectl applies them: after each of them packets between six pods of
// three nodes go as `tulle policy matrix` says of the same files, and every word that the tool has
// for a live cluster agrees.
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { executable } from '../../support/cni.ts'
import { run } from '../../support/netns.ts'
import { places } from '../machine/places.ts'
import { until } from '../machine/until.ts'
import { Agents } from './agents.ts'
import { liveCluster } from './live-cluster.ts'
import { LiveTraffic } from './live-traffic.ts'
import { agnhost, type LivePod } from './pods.ts'

t.setTimeout(300_000)

const cluster = liveCluster()
const agents = new Agents(cluster)
const manifests = new URL('../../../scripts/demo-policy/', import.meta.url)
const fileIn = (name: string): string => new URL(name, manifests).pathname

type Port = Readonly<{ containerPort: number; protocol: 'TCP' | 'UDP' }>
type Wish = Readonly<{ key: string; node: string; app: string; ports: readonly Port[] }>
const tcp = (containerPort: number): Port => ({ containerPort, protocol: 'TCP' })
/** As in `./scripts/demo policy`; the cluster's DNS has its label and its work already. */
const wishes: readonly Wish[] = [
  { key: 'ingress-nginx/controller', node: 'w1', app: 'nginx', ports: [] },
  { key: 'production/api', node: 'w1', app: 'api-server', ports: [tcp(8080)] },
  { key: 'production/postgres', node: 'w3', app: 'postgres', ports: [tcp(5432)] },
  { key: 'default/api', node: 'w2', app: 'api-server', ports: [tcp(8080)] },
  { key: 'default/postgres', node: 'w3', app: 'postgres', ports: [tcp(5432)] },
  {
    ...{ key: 'kube-system/dns', node: 'w2', app: 'dns' },
    ports: [tcp(53), { containerPort: 53, protocol: 'UDP' }],
  },
]

const steps: readonly { readonly file?: string }[] = [
  {},
  { file: '1-default-deny.yaml' },
  { file: '2-api-ingress.yaml' },
  { file: '3-dns.yaml' },
  { file: '4-cilium.yaml' },
  { file: '5-production-database.yaml' },
]
/** The others are the cluster's own. */
const namespaces = ['production', 'ingress-nginx'] as const

/** No more of Cilium than what an API server needs to take its policies. */
const crd = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'ciliumnetworkpolicies.cilium.io' },
  spec: {
    group: 'cilium.io',
    scope: 'Namespaced',
    names: {
      kind: 'CiliumNetworkPolicy',
      plural: 'ciliumnetworkpolicies',
      singular: 'ciliumnetworkpolicy',
    },
    versions: [
      {
        name: 'v2',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
    ],
  },
}

const partsOf = (key: string): readonly [string, string] => {
  const [namespace = '', name = ''] = key.split('/')
  return [namespace, name]
}

const portsOf = (ports: readonly Port[]): readonly number[] => [
  ...new Set(ports.map(({ containerPort }) => containerPort)),
]

/** They sleep: what listens is the prober, in their namespaces. */
const podOf = ({ key, node, app, ports }: Wish): object => {
  const [namespace, name] = partsOf(key)
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name, labels: { app } },
    spec: {
      nodeSelector: { 'kubernetes.io/hostname': node },
      terminationGracePeriodSeconds: 1,
      containers: [
        { name: 'main', image: agnhost, imagePullPolicy: 'Never', args: ['pause'], ports },
      ],
    },
  }
}

/** Named by their keys: two of them are called "api". */
async function startAll(): Promise<readonly LivePod[]> {
  await cluster.put({ apiVersion: 'v1', kind: 'List', items: wishes.map(podOf) })
  return Promise.all(
    wishes.map(async ({ key, node }) => {
      const [namespace, name] = partsOf(key)
      const ready = ['--for=condition=Ready', '--timeout=60s']
      await cluster.must(['-n', namespace, 'wait', `pod/${name}`, ...ready], { timeoutMs: 70_000 })
      const path = 'jsonpath={.status.podIPs[*].ip}'
      const said = await cluster.must(['-n', namespace, 'get', 'pod', name, '-o', path])
      return { namespace, name, node, ips: said.trim().split(' ') }
    }),
  )
}

/** As the API tells of them, with their namespaces. */
async function objectsOfPods(): Promise<object> {
  const pods = await Promise.all(
    wishes.map(async ({ key }) => {
      const [namespace, name] = partsOf(key)
      const said = await cluster.must(['-n', namespace, 'get', 'pod', name, '-o', 'json'])
      return JSON.parse(said) as object
    }),
  )
  const names = [...new Set(wishes.map(({ key }) => partsOf(key)[0]))]
  const said = await cluster.must(['get', 'namespace', ...names, '-o', 'json'])
  const { items } = JSON.parse(said) as { readonly items: readonly object[] }
  return { apiVersion: 'v1', kind: 'List', items: [...items, ...pods] }
}

/** Beside the API server, as administrator. */
const tool = (verb: string, ...words: readonly string[]) =>
  cluster.controlPlane.run([executable, 'policy', verb, ...words])

type Allowed = Readonly<{ from: string; to: string; protocol: string; port: number }>

/** Between the six, "production/api>production/postgres 5432/TCP". */
function allowedIn(text: string): readonly string[] {
  const keys = new Set(wishes.map(({ key }) => key))
  const { allowed } = JSON.parse(text) as { readonly allowed: readonly Allowed[] }
  return allowed
    .filter(({ from, to }) => keys.has(from) && keys.has(to))
    .map(({ from, to, protocol, port }) => `${from}>${to} ${port}/${protocol}`)
    .toSorted()
}

/** By both families; asked until they are those wanted, as labels and pods have no revision. */
async function flowsThatGo(
  traffic: LiveTraffic,
  pods: readonly LivePod[],
  wanted: readonly string[],
): Promise<readonly string[]> {
  const asked = wishes.flatMap(({ key: from }) =>
    wishes
      .filter(({ key }) => key !== from)
      .flatMap(({ key: to, ports }) =>
        ports.flatMap(({ containerPort: port, protocol }) => ({ from, to, port, protocol })),
      ),
  )
  const probes = asked.flatMap(({ to, ...probe }) =>
    ipsOf(pods, to).map((address) => ({ ...probe, address })),
  )
  let went: readonly string[] = []
  await until('packets to go as the matrix says', async () => {
    const answers = await traffic.ask(probes)
    went = asked
      .filter((_, at) => answers.slice(2 * at, 2 * at + 2).every((one) => one === 'answered'))
      .map(({ from, to, port, protocol }) => `${from}>${to} ${port}/${protocol}`)
      .toSorted()
    return isDeepStrictEqual(went, wanted)
  }).catch(() => undefined)
  return went
}

const ipsOf = (pods: readonly LivePod[], key: string): readonly string[] =>
  pods.find(({ namespace, name }) => `${namespace}/${name}` === key)?.ips ?? []

/** The kernel of the node, read back there, against what the API server says. */
async function verified(test: Test, node: string, step: string): Promise<void> {
  const { computer } = cluster.node(node)
  copyFileSync(places.admin, join(computer.disk, adminOnNode))
  const words = ['policy', 'verify', '--kubeconfig', adminOnNode]
  const { code, stdout, stderr } = await computer.exec(['/opt/cni/bin/tulle', ...words])
  test.equal(code, 0, `${step}: ${node}: verify: ${stdout.trim()}${stderr.trim()}`)
}
const adminOnNode = '/etc/kubernetes/admin.conf'

async function explained(test: Test): Promise<void> {
  for (const { words, allowed } of [
    { words: ['production/api', 'production/postgres', '5432'], allowed: true },
    { words: ['ingress-nginx/controller', 'production/api', '8080'], allowed: true },
    { words: ['default/api', 'production/postgres', '5432'], allowed: false },
    { words: ['default/postgres', 'default/api', '8080'], allowed: true },
    { words: ['ingress-nginx/controller', 'default/postgres', '5432'], allowed: false },
  ]) {
    const { code, stdout } = await tool('explain', ...words)
    test.equal(code, allowed ? 0 : 1, `explain ${words.join(' ')}: ${stdout.split('\n')[0]}`)
  }
}

/** The same of the cluster as of the article's files: the database of step four is not isolated. */
async function linted(test: Test): Promise<void> {
  const { code, stdout } = await tool('lint', '--json')
  test.ok([0, 1].includes(code), 'lint reads the cluster')
  const told = JSON.stringify(JSON.parse(stdout))
  test.notMatch(told, /dns-closed|"check":"dns/, 'DNS is open for production')
}

async function clean(): Promise<void> {
  for (const { file } of steps)
    if (file !== undefined)
      await cluster.kubectl(['delete', '-f', fileIn(file), '--ignore-not-found'])
  for (const { key } of wishes) {
    const [namespace, name] = partsOf(key)
    await cluster.kubectl(['-n', namespace, 'delete', 'pod', name, '--ignore-not-found'])
  }
  const timeoutMs = 100_000
  await cluster.kubectl(['delete', 'namespace', ...namespaces], { timeoutMs })
  await cluster.kubectl(['delete', 'crd', crd.metadata.name], { timeoutMs })
  for (const { computer } of cluster.nodes)
    rmSync(join(computer.disk, adminOnNode), { force: true })
}

t.test('the five manifests, one after the other', async (test) => {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-article-'))
  let traffic: LiveTraffic | undefined
  try {
    await cluster.put(crd)
    await cluster.must(['wait', '--for=condition=Established', `crd/${crd.metadata.name}`])
    // An agent looks every two minutes for a kind that was not there, and at once when it starts.
    await agents.restartAll()
    for (const name of namespaces) await cluster.must(['create', 'namespace', name])
    const pods = await startAll()
    traffic = await LiveTraffic.among(
      cluster,
      pods,
      ({ namespace, name }) => `${namespace}/${name}`,
    )
    for (const { key, ports } of wishes) await traffic.listen(key, portsOf(ports))
    writeFileSync(join(folder, 'pods.yaml'), JSON.stringify(await objectsOfPods()))
    for (const { file } of steps) {
      const step = file ?? 'without policies'
      if (file !== undefined) {
        await cluster.must(['apply', '-f', fileIn(file)])
        copyFileSync(fileIn(file), join(folder, file))
        const waited = await tool('wait', '--timeout', '55s')
        test.equal(waited.code, 0, `${step}: every node enforces it: ${waited.stdout.trim()}`)
      }
      const words = ['policy', 'matrix', '--from', folder, '--json']
      const expected = allowedIn(run([executable, ...words]).stdout)
      const live = allowedIn((await tool('matrix', '--json')).stdout)
      test.same(live, expected, `${step}: the cluster and the files have one matrix`)
      const went = await flowsThatGo(traffic, pods, expected)
      test.same(went, expected, `${step}: ${went.length} flows go, those of the matrix`)
      for (const { name } of cluster.nodes) await verified(test, name, step)
    }
    await explained(test)
    await linted(test)
  } finally {
    traffic?.close()
    await clean()
    rmSync(folder, { recursive: true })
  }
  test.same(await agents.complaints(), [], 'every agent says that all is well')
})
