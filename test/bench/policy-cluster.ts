import { formatAddress } from '../../src/base/address.ts'
import { podKey } from '../../src/cluster/pod.ts'
import type { PolicyState } from '../../src/policy/compile.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import type { Cluster } from '../../src/policy/model.ts'
import { namespace, np, pod } from '../policy/objects.ts'

/** How large; pods and policies are dealt out evenly. */
export type Size = {
  readonly namespaces: number
  readonly pods: number
  readonly policies: number
  readonly nodes: number
}

export const nodeNameOf = (node: number): string => `node-${node}`

const apps = ['web', 'api', 'db', 'cache', 'queue', 'job', 'mail', 'auth', 'log', 'cron']

/** Ten apps in each namespace, in two tiers; every tenth namespace is for monitoring. */
export function podObject(size: Size, at: number, app = apps[at % apps.length] ?? '') {
  const space = Math.floor(at / apps.length) % size.namespaces
  const [high, low] = [at >> 8, at & 255]
  const node = (Math.imul(at, 0x9e3779b1) >>> 8) % size.nodes
  return pod(`ns-${space}/${app}-${at}`, {
    labels: { app, tier: app === 'db' || app === 'cache' ? 'back' : 'front', hash: `${at % 977}` },
    ip: [`10.${100 + (high >> 8)}.${high & 255}.${low}`, `fd00::${at.toString(16)}`],
    ports: [`http=${app === 'api' ? 8080 : 80}`, 'metrics=9090'],
    spec: { nodeName: nodeNameOf(node) },
    status: { hostIP: `192.168.${node >> 8}.${node & 255}` },
  })
}

const match = (labels: object) => ({ matchLabels: labels })

/** Ten shapes in turn, as clusters have them: in each namespace one of each. */
export function policyObject({ namespaces }: Size, at: number, port = 8080) {
  const [space, shape] = [at % namespaces, Math.floor(at / namespaces) % shapes.length]
  return np(`ns-${space}/p-${at}`, shapes[shape]?.(port))
}

const shapes: readonly ((port: number) => object)[] = [
  () => ({ policyTypes: ['Ingress', 'Egress'] }),
  () => ({ ingress: [{ from: [{ podSelector: {} }] }] }),
  (port) => ({
    podSelector: match({ app: 'api' }),
    ingress: [{ from: [{ podSelector: match({ app: 'web' }) }], ports: [{ port }] }],
  }),
  () => ({
    podSelector: match({ app: 'db' }),
    ingress: [{ from: [{ podSelector: match({ app: 'api' }) }], ports: [{ port: 5432 }] }],
  }),
  () => ({
    policyTypes: ['Egress'],
    egress: [
      {
        to: [{ namespaceSelector: match({ 'kubernetes.io/metadata.name': 'ns-0' }) }],
        ports: [{ port: 53, protocol: 'UDP' }, { port: 53 }],
      },
    ],
  }),
  () => ({
    ingress: [
      {
        from: [{ namespaceSelector: match({ role: 'monitoring' }), podSelector: {} }],
        ports: [{ port: 'metrics' }],
      },
    ],
  }),
  (port) => ({
    podSelector: match({ tier: 'front' }),
    policyTypes: ['Egress'],
    egress: [
      { to: [{ podSelector: match({ tier: 'back' }) }], ports: [{ port: 'http' }] },
      { to: [{ ipBlock: { cidr: '203.0.113.0/24', except: ['203.0.113.64/26'] } }] },
      { to: [{ namespaceSelector: {}, podSelector: match({ app: 'auth' }) }], ports: [{ port }] },
    ],
  }),
  (port) => ({
    podSelector: match({ app: 'web' }),
    ingress: [
      { from: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] } }], ports: [{ port: 80 }] },
      { from: [{ ipBlock: { cidr: '198.51.100.0/24' } }], ports: [{ port, endPort: port + 20 }] },
    ],
  }),
  () => ({
    podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['queue', 'job'] }] },
    ingress: [{ from: [{ podSelector: match({ app: 'cron' }) }] }],
    egress: [{ to: [{ podSelector: match({ app: 'queue' }) }] }],
  }),
  (port) => ({
    podSelector: match({ app: 'mail' }),
    policyTypes: ['Egress'],
    egress: [{ ports: [{ port: 25 }, { port: 587 }, { port }] }],
  }),
]

export function clusterOfSize(size: Size): Cluster {
  const spaces = Array.from({ length: size.namespaces }, (_, at) =>
    namespace(`ns-${at}`, at % 10 === 0 ? { role: 'monitoring' } : { role: 'app' }),
  )
  const pods = Array.from({ length: size.pods }, (_, at) => podObject(size, at))
  const policies = Array.from({ length: size.policies }, (_, at) => policyObject(size, at))
  const objects = [...spaces, ...pods, ...policies]
  return fromObjects(objects.map((object) => ({ place: '', object }))).cluster
}

/** What one node's agent knows of it, with maps to change. */
export function stateOfNode(cluster: Cluster, nodeName: string) {
  return {
    nodeName,
    pods: new Map(cluster.pods.map((one) => [podKey(one), one])),
    namespaces: cluster.namespaces,
    nodes: new Map(cluster.nodes.map((node) => [node.name, node])),
    policies: Map.groupBy(
      cluster.policies,
      ({ kind, namespace: space, name }) => `${kind} ${space}/${name}`,
    ),
    local: new Map(
      cluster.pods
        .filter(({ node }) => node === nodeName)
        .flatMap((one) =>
          one.addresses.map((address) => [formatAddress(address), { address, pod: one }] as const),
        ),
    ),
  } satisfies PolicyState
}
