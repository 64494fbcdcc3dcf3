import { test } from 'tap'
import { clusterOf, cnp, gather, namespace, np, passing, pod } from './objects.ts'

// CiliumNetworkPolicy where it differs from NetworkPolicy, and what of it is refused.

const at = (nodeName: string, hostIP: string) => ({ spec: { nodeName }, status: { hostIP } })
const base = [
  namespace('x', { team: 'red' }),
  namespace('y', { team: 'blue' }),
  pod('x/a', {
    labels: { app: 'a' },
    ip: '10.0.0.1',
    ports: ['80', '53/UDP'],
    ...at('n1', '192.168.0.1'),
  }),
  pod('x/b', { labels: { app: 'b' }, ip: '10.0.0.2', ...at('n1', '192.168.0.1') }),
  pod('y/a', {
    labels: { app: 'a' },
    ip: '10.0.1.1',
    spec: { nodeName: 'n2', serviceAccountName: 'robot' },
    status: { hostIP: '192.168.0.2' },
  }),
  pod('y/b', { labels: { app: 'b' }, ip: '10.0.1.2', ...at('n2', '192.168.0.2') }),
]

const isA = { endpointSelector: { matchLabels: { app: 'a' } } }
const app = (name: string) => ({ matchLabels: { app: name } })
const toA = ['x/b>x/a 80', 'y/a>x/a 80', 'y/b>x/a 80', '192.0.2.7>x/a 80', '192.168.0.2>x/a 80']
const fromA = ['x/a>x/b 80', 'x/a>y/a 80', 'x/a>192.0.2.7 80', 'x/a>192.168.0.1 80']
const own = '192.168.0.1>x/a 80'
const pods = toA.slice(0, 3)
const world = '192.0.2.7>x/a 80'
const other = '192.168.0.2>x/a 80'
const p = (...specs: object[]) => specs.map((spec, at) => cnp(`x/p${at}`, { ...isA, ...spec }))
const nsKey = 'k8s:io.kubernetes.pod.namespace'
const port80 = { toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }] }] }

type Row = { why: string; policies: readonly object[]; asked?: readonly string[]; want: unknown }

const rows: readonly Row[] = [
  { why: 'ingress: [{}] denies all', policies: p({ ingress: [{}] }), want: [own] },
  {
    why: 'ingress: [] does nothing',
    policies: p({ ingress: [], egress: [{}] }),
    want: [...toA, own],
  },
  {
    why: 'an egress section leaves ingress alone, and the other way round',
    policies: p({ ingress: [{}] }),
    asked: fromA,
    want: fromA,
  },
  { why: 'egress: [{}] denies all', policies: p({ egress: [{}] }), asked: fromA, want: [] },
  {
    why: 'an empty selector is all pods of the own namespace',
    policies: p({ ingress: [{ fromEndpoints: [{}] }] }),
    want: ['x/b>x/a 80', own],
  },
  {
    why: 'an empty list of endpoints is nobody, even with ports',
    policies: p({ ingress: [{ fromEndpoints: [], ...port80 }] }),
    want: [own],
  },
  {
    why: 'ports alone are anybody’s',
    policies: p({ ingress: [port80] }),
    want: [...toA, own],
  },
  {
    why: 'another namespace by its label',
    policies: p({ ingress: [{ fromEndpoints: [{ matchLabels: { [nsKey]: 'y', app: 'b' } }] }] }),
    want: ['y/b>x/a 80', own],
  },
  {
    why: 'without the source, or of any source',
    policies: p({
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { 'io.kubernetes.pod.namespace': 'y', 'k8s:app': 'b' } }],
        },
        { fromEndpoints: [{ matchLabels: { 'any:app': 'b' } }] },
      ],
    }),
    want: ['x/b>x/a 80', 'y/b>x/a 80', own],
  },
  {
    why: 'every namespace by an expression',
    policies: p({
      ingress: [{ fromEndpoints: [{ matchExpressions: [{ key: nsKey, operator: 'Exists' }] }] }],
    }),
    want: [...pods, own],
  },
  {
    why: 'a namespace by its labels',
    policies: p({
      ingress: [
        {
          fromEndpoints: [
            { matchLabels: { 'k8s:io.cilium.k8s.namespace.labels.team': 'blue', app: 'a' } },
          ],
        },
      ],
    }),
    want: ['y/a>x/a 80', own],
  },
  {
    why: 'a service account',
    policies: p({
      ingress: [
        {
          fromEndpoints: [
            { matchLabels: { 'io.cilium.k8s.policy.serviceaccount': 'robot', [nsKey]: 'y' } },
          ],
        },
      ],
    }),
    want: ['y/a>x/a 80', own],
  },
  {
    why: 'a CIDR is never a pod nor a node',
    policies: p({ ingress: [{ fromCIDR: ['10.0.0.0/8', '192.0.0.0/8'] }] }),
    want: [world, own],
  },
  {
    why: 'a CIDRSet but its except',
    policies: p({
      ingress: [{ fromCIDRSet: [{ cidr: '192.0.0.0/8', except: ['192.0.2.0/28'] }] }],
    }),
    want: [own],
  },
  { why: 'entity all', policies: p({ ingress: [{ fromEntities: ['all'] }] }), want: [...toA, own] },
  { why: 'entity none', policies: p({ ingress: [{ fromEntities: ['none'] }] }), want: [own] },
  {
    why: 'entity cluster: pods and nodes',
    policies: p({ ingress: [{ fromEntities: ['cluster'] }] }),
    want: [...pods, other, own],
  },
  {
    why: 'entity world',
    policies: p({ ingress: [{ fromEntities: ['world'] }] }),
    want: [world, own],
  },
  {
    why: 'entity world-ipv6',
    policies: p({ ingress: [{ fromEntities: ['world-ipv6'] }] }),
    want: [own],
  },
  {
    why: 'entity remote-node',
    policies: p({ ingress: [{ fromEntities: ['remote-node'] }] }),
    want: [other, own],
  },
  {
    why: 'entity host, outwards (P31)',
    policies: p({ egress: [{ toEntities: ['host'] }] }),
    asked: fromA,
    want: ['x/a>192.168.0.1 80'],
  },
  {
    why: 'ANY and no protocol are all three; a range; "0" is every port',
    policies: p({
      ingress: [
        {
          toPorts: [
            { ports: [{ port: '80', endPort: 82, protocol: 'ANY' }, { port: '53' }] },
            { ports: [{ port: '0', protocol: 'SCTP' }] },
          ],
        },
      ],
    }),
    asked: [
      ...['x/b>x/a 82', 'x/b>x/a 83', 'x/b>x/a 80/UDP', 'x/b>x/a 53/UDP', 'x/b>x/a 53'],
      ...['x/b>x/a 7/SCTP', 'x/b>x/a ICMP'],
    ],
    want: [...['x/b>x/a 82', 'x/b>x/a 80/UDP', 'x/b>x/a 53/UDP', 'x/b>x/a 53'], 'x/b>x/a 7/SCTP'],
  },
  {
    why: 'a deny beats every allow, a NetworkPolicy’s too',
    policies: [
      ...p({ ingressDeny: [{ fromEndpoints: [app('b')] }], ingress: [{ fromEntities: ['all'] }] }),
      np('x/open', { podSelector: {}, ingress: [{}] }),
    ],
    want: [...toA.slice(1), own],
  },
  {
    why: 'a deny alone isolates too',
    policies: p({ ingressDeny: [{ fromEndpoints: [app('b')] }] }),
    want: [own],
  },
  {
    why: 'enableDefaultDeny: false only adds, and denies still count',
    policies: p({
      enableDefaultDeny: { ingress: false },
      ingressDeny: [{ fromEndpoints: [app('b')] }],
      ingress: [{ fromEndpoints: [{ matchLabels: { [nsKey]: 'y' } }] }],
    }),
    want: [...toA.slice(1), own],
  },
  {
    why: 'enableDefaultDeny: false adds to what another policy isolates',
    policies: [
      np('x/closed', { podSelector: {} }),
      ...p({ enableDefaultDeny: { ingress: false }, ingress: [{ fromEndpoints: [app('b')] }] }),
    ],
    want: ['x/b>x/a 80', own],
  },
  {
    why: 'specs, each by itself',
    policies: [
      cnp('x/two', undefined, {
        specs: [
          { ...isA, ingress: [{ fromEndpoints: [app('b')] }] },
          { ...isA, ingress: [{ fromEntities: ['world'] }] },
        ],
      }),
    ],
    want: ['x/b>x/a 80', world, own],
  },
]

for (const { why, policies, asked = [...toA, own], want } of rows)
  test(why, async (t) => t.same(passing(clusterOf(...base, ...policies), asked), want))

/** What is refused: told, and not allowed; the policy isolates all the same. */
const l4 = { ports: [{ port: '80', protocol: 'TCP' }] }
for (const { why, spec, path, kind = 'refused', want = [own] } of [
  {
    why: 'HTTP rules',
    spec: { ingress: [{ toPorts: [{ ...l4, rules: { http: [{ method: 'GET' }] } }] }] },
    path: 'spec.ingress[0].toPorts[0].rules',
  },
  {
    why: 'HTTP rules on one of two lists of ports',
    spec: {
      ingress: [
        {
          toPorts: [
            { ports: [{ port: '81' }], rules: { http: [{}] } },
            { ports: [{ port: '80' }] },
          ],
        },
      ],
    },
    path: 'spec.ingress[0].toPorts[0].rules',
    want: [...toA, own],
  },
  {
    why: 'server names',
    spec: { ingress: [{ toPorts: [{ ...l4, serverNames: ['a'] }] }] },
    path: 'spec.ingress[0].toPorts[0].serverNames',
  },
  {
    why: 'ICMP types',
    spec: { ingress: [{ fromEntities: ['all'], icmps: [{ fields: [{ type: 8 }] }] }] },
    path: 'spec.ingress[0].icmps',
  },
  {
    why: 'names beside ports: the ports alone would be anybody’s',
    spec: { ingress: [{ fromNodes: [{}], toPorts: [l4] }] },
    path: 'spec.ingress[0].fromNodes',
  },
  {
    why: 'an entity that Tulle has no address of, beside one that it has',
    spec: { ingress: [{ fromEntities: ['kube-apiserver', 'world'] }] },
    path: 'spec.ingress[0].fromEntities[0]',
    want: [world, own],
  },
  {
    why: 'two kinds of peers in one rule',
    spec: { ingress: [{ fromEndpoints: [{}], fromEntities: ['world'] }] },
    path: 'spec.ingress[0].fromEntities',
  },
  {
    why: 'a label of another source',
    spec: { ingress: [{ fromEndpoints: [{ matchLabels: { 'container:app': 'b' } }] }] },
    path: 'spec.ingress[0].fromEndpoints[0]',
  },
  {
    why: 'a deny with something unknown denies all',
    spec: {
      ingress: [{ fromEntities: ['all'] }],
      ingressDeny: [{ fromEntities: ['kube-apiserver'] }],
    },
    path: 'spec.ingressDeny[0].fromEntities[0]',
  },
  {
    why: 'ports without a port',
    spec: { ingress: [{ toPorts: [{}] }] },
    path: 'spec.ingress[0].toPorts[0].ports',
  },
  {
    why: 'a group of CIDRs',
    spec: { ingress: [{ fromCIDRSet: [{ cidrGroupRef: 'office' }] }] },
    path: 'spec.ingress[0].fromCIDRSet[0].cidrGroupRef',
  },
  {
    why: 'a policy for nodes selects no pod',
    spec: { endpointSelector: undefined, nodeSelector: {}, ingress: [{}] },
    path: 'spec.nodeSelector',
    want: [...toA, own],
  },
  { why: 'no rule at all', spec: { ingress: [] }, path: 'spec.ingress', want: [...toA, own] },
  {
    why: 'another namespace’s pods as subjects: the own ones count',
    spec: { endpointSelector: { matchLabels: { [nsKey]: 'y', app: 'a' } }, ingress: [{}] },
    path: 'spec.endpointSelector',
  },
  {
    why: 'a port that is a number',
    spec: { ingress: [{ toPorts: [{ ports: [{ port: 80 }] }] }] },
    path: 'spec.ingress[0].toPorts[0].ports[0].port',
    kind: 'wrong',
  },
  {
    why: 'an endPort below its port',
    spec: { ingress: [{ toPorts: [{ ports: [{ port: '80', endPort: 79 }] }] }] },
    path: 'spec.ingress[0].toPorts[0].ports[0].endPort',
    kind: 'wrong',
  },
  {
    why: 'a protocol that there is not',
    spec: { ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'tcp' }] }] }] },
    path: 'spec.ingress[0].toPorts[0].ports[0].protocol',
    kind: 'wrong',
  },
])
  test(`refused: ${why}`, async (t) => {
    const { cluster, problems } = gather([...base, cnp('x/p', { ...isA, ...spec })])
    t.match(problems[0], { path, kind, object: 'CiliumNetworkPolicy x/p' })
    t.same(passing(cluster, [...toA, own]), want)
  })
