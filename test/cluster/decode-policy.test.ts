import fc from 'fast-check'
import { test } from 'tap'
import { decodeCiliumPolicy } from '../../src/cluster/decode-cilium-policy.ts'
import { decodeNetworkPolicy } from '../../src/cluster/decode-network-policy.ts'
import { decodePod } from '../../src/cluster/decode-pod.ts'
import type { FieldProblem } from '../../src/cluster/field.ts'
import { decodeNamespace } from '../../src/cluster/namespace.ts'
import { holds } from '../base/law.ts'

const metadata = { namespace: 'x', name: 'p' }
const policy = (spec: unknown) => decodeNetworkPolicy({ metadata, spec })
const ingress = (rule: unknown) => ({ podSelector: {}, ingress: [rule] })
const from = (peer: unknown) => ingress({ from: [peer] })
const block = (ipBlock: unknown) => from({ ipBlock })
const port = (one: unknown) => ingress({ ports: [one] })
const matching = (expression: unknown) => from({ podSelector: { matchExpressions: [expression] } })
const inPort = 'spec.ingress[0].ports[0]'
const inPeer = 'spec.ingress[0].from[0]'
const inExpression = `${inPeer}.podSelector.matchExpressions[0]`

const pathsOf = (problems: readonly FieldProblem[]) => problems.map(({ path }) => path)

/** What an API server would not take: one problem, and the rule allows nothing. */
for (const { why, spec, path } of [
  { why: 'P2 a protocol in lower case', spec: port({ protocol: 'tcp' }), path: 'protocol' },
  { why: 'P2 a protocol that has no ports', spec: port({ protocol: 'ICMP' }), path: 'protocol' },
  { why: 'P4 endPort without a port', spec: port({ endPort: 90 }), path: 'endPort' },
  { why: 'P4 endPort of a name', spec: port({ port: 'http', endPort: 90 }), path: 'endPort' },
  { why: 'P4 endPort below', spec: port({ port: 91, endPort: 90 }), path: 'endPort' },
  { why: 'P4 endPort too large', spec: port({ port: 91, endPort: 65_536 }), path: 'endPort' },
  { why: 'P7 port 0', spec: port({ port: 0 }), path: 'port' },
  { why: 'P7 port 65536', spec: port({ port: 65_536 }), path: 'port' },
  { why: 'P7 half a port', spec: port({ port: 80.5 }), path: 'port' },
  { why: 'P7 a number as a name', spec: port({ port: '80' }), path: 'port' },
  { why: 'P7 a name of 16', spec: port({ port: 'abcdefghijklmnop' }), path: 'port' },
  { why: 'P7 a name in upper case', spec: port({ port: 'HTTP' }), path: 'port' },
  { why: 'P7 two dashes', spec: port({ port: 'a--b' }), path: 'port' },
  { why: 'P7 a dash at the end', spec: port({ port: 'a-' }), path: 'port' },
  { why: 'an unknown key in a port', spec: port({ prot: 'TCP' }), path: 'prot' },
])
  test(`decode: ${why}`, async (t) => {
    const { value, problems } = policy(spec)
    t.same(pathsOf(problems), [`${inPort}.${path}`])
    t.match(value, { directions: ['ingress'], rules: [{ isWhole: false }] })
  })

for (const { why, spec, path } of [
  { why: 'P5 a peer that says nothing', spec: from({}), path: inPeer },
  { why: 'P5 a peer of nulls', spec: from({ podSelector: null }), path: inPeer },
  {
    why: 'P5 a block beside a selector',
    spec: from({ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }),
    path: `${inPeer}.ipBlock`,
  },
  { why: 'P6 no cidr', spec: block({}), path: `${inPeer}.ipBlock.cidr` },
  { why: 'P6 no prefix', spec: block({ cidr: '10.0.0.1' }), path: `${inPeer}.ipBlock.cidr` },
  {
    why: 'P6 a length of 33',
    spec: block({ cidr: '10.0.0.0/33' }),
    path: `${inPeer}.ipBlock.cidr`,
  },
  {
    why: 'P6 an except outside',
    spec: block({ cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] }),
    path: `${inPeer}.ipBlock.except[0]`,
  },
  {
    why: 'P6 an except that is the whole',
    spec: block({ cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '10.0.0.0/8'] }),
    path: `${inPeer}.ipBlock.except[1]`,
  },
  {
    why: 'P6 an except of the other family',
    spec: block({ cidr: '0.0.0.0/0', except: ['::/1'] }),
    path: `${inPeer}.ipBlock.except[0]`,
  },
  {
    why: 'P16 In of nothing',
    spec: matching({ key: 'a', operator: 'In' }),
    path: `${inExpression}.values`,
  },
  {
    why: 'P16 Exists of something',
    spec: matching({ key: 'a', operator: 'Exists', values: ['b'] }),
    path: `${inExpression}.values`,
  },
  {
    why: 'P16 an operator that there is not',
    spec: matching({ key: 'a', operator: 'Equals', values: ['b'] }),
    path: `${inExpression}.operator`,
  },
  { why: 'P16 no key', spec: matching({ operator: 'Exists' }), path: `${inExpression}.key` },
  {
    why: 'a label that is a number',
    spec: from({ podSelector: { matchLabels: { version: 1 } } }),
    path: `${inPeer}.podSelector.matchLabels.version`,
  },
  {
    why: 'a label right in the selector',
    spec: from({ podSelector: { app: 'a' } }),
    path: `${inPeer}.podSelector.app`,
  },
  { why: 'a peer that is newer than Tulle', spec: from({ fqdn: 'a' }), path: `${inPeer}.fqdn` },
  { why: 'a rule that is a list', spec: ingress([]), path: 'spec.ingress[0]' },
  { why: 'a rule of another direction', spec: ingress({ to: [] }), path: 'spec.ingress[0].to' },
  { why: 'one peer and no list', spec: ingress({ from: {} }), path: 'spec.ingress[0].from' },
])
  test(`decode: ${why}`, async (t) => {
    const { value, problems } = policy(spec)
    t.same(pathsOf(problems), [path])
    t.match(value, { rules: [{ isWhole: false }] })
  })

for (const { why, object, paths } of [
  { why: 'no spec', object: { metadata }, paths: ['spec'] },
  {
    why: 'P1 a policyType',
    object: { metadata, spec: { policyTypes: ['ingress'] } },
    paths: ['spec.policyTypes[0]'],
  },
  {
    why: 'P1 policyTypes no list',
    object: { metadata, spec: { policyTypes: 'Ingress' } },
    paths: ['spec.policyTypes'],
  },
  {
    why: 'a selector that is a text',
    object: { metadata, spec: { podSelector: 'a' } },
    paths: ['spec.podSelector'],
  },
  { why: 'no name', object: { metadata: {}, spec: {} }, paths: ['metadata.name'] },
  { why: 'not an object', object: 7, paths: ['metadata.name', 'spec'] },
])
  test(`decode: no policy at all of ${why}`, async (t) => {
    const { value, problems } = decodeNetworkPolicy(object)
    t.equal(value, undefined)
    t.same(pathsOf(problems), paths)
  })

test('decode: a slip in spec is told, the rest counts', async (t) => {
  const { value, problems } = policy({ podSelector: {}, ingres: [{}] })
  t.match(problems, [{ kind: 'refused', path: 'spec.ingres' }])
  t.match(value, { directions: ['ingress'], rules: [] })
})

test('decode: a pod, every field', async (t) => {
  const { value, problems } = decodePod({
    metadata: { name: 'a', labels: { app: 'a' } },
    spec: {
      nodeName: 'n1',
      serviceAccountName: 'robot',
      containers: [{ ports: [{ name: 'http', containerPort: 80 }] }, {}],
      initContainers: [{ restartPolicy: 'Always', ports: [{ containerPort: 9, protocol: 'UDP' }] }],
    },
    status: {
      phase: 'Running',
      podIP: '10.0.0.1',
      podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }],
      hostIP: '192.168.0.1',
    },
  })
  t.same(problems, [])
  t.same(value, {
    namespace: 'default',
    name: 'a',
    labels: new Map([['app', 'a']]),
    addresses: [
      { family: 4, value: 0x0a000001n },
      { family: 6, value: (0xfd00n << 112n) | 1n },
    ],
    ports: [
      { protocol: 'TCP', port: 80, name: 'http' },
      { protocol: 'UDP', port: 9 },
    ],
    isHostNetwork: false,
    isDone: false,
    node: 'n1',
    hostAddresses: [{ family: 4, value: 0xc0a80001n }],
    serviceAccount: 'robot',
  })
})

test('decode: a pod, every wrong field', async (t) => {
  const { problems } = decodePod({
    metadata: { name: 'A', namespace: 'x.y', labels: { a: 1 } },
    spec: {
      nodeName: 7,
      hostNetwork: 'yes',
      containers: [
        { ports: [{ containerPort: 0 }, { containerPort: 1, protocol: 'tcp' }] },
        { ports: [{ containerPort: 1, name: 'Web' }, 'x'] },
      ],
    },
    status: { podIP: '10.0.0.256', podIPs: [{ ip: null }, 'x'] },
  })
  t.same(pathsOf(problems).sort(), [
    'metadata.labels.a',
    'metadata.name',
    'metadata.namespace',
    'spec.containers[0].ports[0].containerPort',
    'spec.containers[0].ports[1].protocol',
    'spec.containers[1].ports[0].name',
    'spec.containers[1].ports[1].containerPort',
    'spec.hostNetwork',
    'spec.nodeName',
    'status.podIP',
    'status.podIPs[0].ip',
    'status.podIPs[1].ip',
  ])
})

test('decode: P17 a namespace’s own word on its name does not count', async (t) => {
  const labels = { 'kubernetes.io/metadata.name': 'other', a: 'b', ['__proto__']: 'c' }
  const { value } = decodeNamespace({ metadata: { name: 'x', labels } })
  t.equal(value?.labels.get('kubernetes.io/metadata.name'), 'x')
  t.equal(value?.labels.get('a'), 'b')
  t.equal(value?.labels.get('toString'), undefined)
})

const keys = [
  ...['metadata', 'name', 'namespace', 'labels', 'spec', 'specs', 'status', 'podSelector', 'from'],
  ...[
    'ingress',
    'egress',
    'to',
    'ports',
    'port',
    'endPort',
    'protocol',
    'ipBlock',
    'cidr',
    'except',
  ],
  ...[
    'matchLabels',
    'matchExpressions',
    'key',
    'operator',
    'values',
    'endpointSelector',
    'toPorts',
  ],
  ...['fromEndpoints', 'fromEntities', 'fromCIDRSet', 'ingressDeny', 'enableDefaultDeny', 'podIPs'],
  ...['__proto__', 'constructor', 'containers', 'policyTypes', 'namespaceSelector', 'rules'],
]
const scalar = fc.oneof(
  fc.constantFrom('x', 'p', '', 'TCP', 'In', '10.0.0.0/8', '10.0.0.0/33', '::/0', 'all', 'Ingress'),
  fc.constantFrom(null, undefined, true, 0, -1, 80, 1e9, Number.NaN, '80', 'k8s:', 'reserved:x'),
)
const hostile = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 9 },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...keys), tie('value'), { maxKeys: 8 }),
  ),
})).value

test('decode: law: nothing throws, and what is not told of could be read', async (t) =>
  holds(
    t,
    fc.property(hostile, hostile, (spec, status) => {
      const objects = [spec, { metadata, spec, status }, { metadata, specs: [spec] }]
      return objects.every((object) =>
        [decodePod, decodeNamespace, decodeNetworkPolicy, decodeCiliumPolicy]
          .map((decode) => decode(object))
          .every(({ value, problems }) => value !== undefined || problems.length > 0),
      )
    }),
    1000,
  ))
