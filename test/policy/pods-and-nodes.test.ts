import { test } from 'tap'
import { matrixOf } from '../../src/policy/matrix.ts'
import { selects } from '../../src/policy/select.ts'
import { clusterOf, connectionOf, gather, judge, namespace, np, passing, pod } from './objects.ts'

// NetworkPolicy where pods are not alike: names of ports, families, nodes, ends of lives.

const isolated = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }
const ingress = (rule: object) => ({ podSelector: {}, policyTypes: ['Ingress'], ingress: [rule] })
const egress = (rule: object) => ({ podSelector: {}, policyTypes: ['Egress'], egress: [rule] })

test('P19 a name on ingress is the selected pod’s', async (t) => {
  const cluster = clusterOf(
    pod('x/one', { ip: '10.0.0.1', ports: ['http=8080', 'dns=53', 'dns=53/UDP'] }),
    pod('x/two', { ip: '10.0.0.2', ports: ['http=9090', 'web=8080'] }),
    pod('x/none', { ip: '10.0.0.3', ports: ['8080'] }),
    pod('y/c', { ip: '10.0.1.1' }),
    np('x/p', ingress({ ports: [{ port: 'http' }, { port: 'dns', protocol: 'UDP' }] })),
  )
  const asked = [
    ...['y/c>x/one 8080', 'y/c>x/one 9090', 'y/c>x/one 53', 'y/c>x/one 53/UDP'],
    ...['y/c>x/two 8080', 'y/c>x/two 9090', 'y/c>x/none 8080', '192.0.2.7>x/two 9090'],
  ]
  t.same(passing(cluster, asked), [
    ...['y/c>x/one 8080', 'y/c>x/one 53/UDP'],
    ...['y/c>x/two 9090', '192.0.2.7>x/two 9090'],
  ])
})

test('P19 a name on egress is each destination’s own; P20 never an address’s', async (t) => {
  const pods = [
    pod('x/c', { ip: '10.0.0.9' }),
    pod('y/one', { ip: '10.0.1.1', ports: ['http=8080'] }),
    pod('y/two', { ip: '10.0.1.2', ports: ['http=9090'] }),
  ]
  const asked = [
    ...['x/c>y/one 8080', 'x/c>y/one 9090', 'x/c>y/two 8080', 'x/c>y/two 9090'],
    '192.0.2.7>x/c 80',
    'x/c>192.0.2.7 8080',
  ]
  const named = { ports: [{ port: 'http' }] }
  const always = '192.0.2.7>x/c 80'
  for (const { why, rule, want } of [
    { why: 'to anybody', rule: named, want: ['x/c>y/one 8080', 'x/c>y/two 9090', always] },
    {
      why: 'to pods',
      rule: { ...named, to: [{ namespaceSelector: {} }] },
      want: ['x/c>y/one 8080', 'x/c>y/two 9090', always],
    },
    {
      why: 'to pods that a block has too',
      rule: { ...named, to: [{ namespaceSelector: {} }, { ipBlock: { cidr: '10.0.0.0/8' } }] },
      want: ['x/c>y/one 8080', 'x/c>y/two 9090', always],
    },
    {
      why: 'to a block with the pods in it',
      rule: { ...named, to: [{ ipBlock: { cidr: '0.0.0.0/0' } }] },
      want: [always],
    },
  ])
    t.same(passing(clusterOf(...pods, np('x/p', egress(rule))), asked), want, why)
})

test('P21 a restartable init container owns ports, another one none', async (t) => {
  const init = (restartPolicy: unknown, name: string) => ({
    restartPolicy,
    ports: [{ name, containerPort: 15_020 }],
  })
  const cluster = clusterOf(
    pod('x/car', { ip: '10.0.0.1', ports: [], spec: { initContainers: [init('Always', 'm')] } }),
    pod('x/job', { ip: '10.0.0.2', ports: [], spec: { initContainers: [init(null, 'm')] } }),
    pod('y/c', { ip: '10.0.1.1', ports: [] }),
    np('x/p', ingress({ ports: [{ port: 'm' }] })),
  )
  t.same(passing(cluster, ['y/c>x/car 15020', 'y/c>x/job 15020']), ['y/c>x/car 15020'])
  t.same(
    matrixOf(cluster).allowed.map(({ from, to }) => `${from}>${to}`),
    ['x/job>x/car', 'y/c>x/car'],
    'and the matrix counts it',
  )
})

test('P26, P45 a block is of one family; P14 both families are isolated', async (t) => {
  const pods = [
    pod('x/a', { ip: ['10.0.0.1', 'fd00::1'] }),
    pod('y/b', { ip: ['10.0.1.1', 'fd00:1::1'] }),
  ]
  const asked = ['10.0.1.1>x/a 80', 'fd00:1::1>x/a 80', '2001:db8::1>x/a 80']
  // an address asks for the first one of the pod: turned round for IPv6
  const turned = [
    pod('x/a', { ip: ['fd00::1', '10.0.0.1'] }),
    pod('y/b', { ip: ['fd00:1::1', '10.0.1.1'] }),
  ]
  for (const { cidr, want } of [
    { cidr: '0.0.0.0/0', want: ['10.0.1.1>x/a 80'] },
    { cidr: '::/0', want: ['fd00:1::1>x/a 80', '2001:db8::1>x/a 80'] },
    { cidr: '::ffff:10.0.0.0/104', want: ['10.0.1.1>x/a 80'] },
  ])
    for (const set of [pods, turned]) {
      const cluster = clusterOf(...set, np('x/p', ingress({ from: [{ ipBlock: { cidr } }] })))
      t.same(passing(cluster, asked), want, cidr)
      t.equal(matrixOf(cluster).allowed.length, 2, `${cidr}: one family is enough to reach`)
    }
})

test('P45 pods without a common family have no way', async (t) => {
  const cluster = clusterOf(pod('x/a', { ip: '10.0.0.1' }), pod('x/b', { ip: 'fd00::1' }))
  t.same(matrixOf(cluster).allowed, [])
  t.equal(matrixOf(cluster).denied.length, 2)
})

const onNode = (name: string, hostIP: string) => ({
  spec: { nodeName: name },
  status: { hostIP },
})
const hostPod = (key: string, node: string, ip: string, labels = {}) =>
  pod(key, { ip, labels, spec: { nodeName: node, hostNetwork: true }, status: { hostIP: ip } })

const nodes = [
  pod('x/a', { ip: '10.0.0.1', labels: { app: 'a' }, ...onNode('n1', '192.168.0.1') }),
  pod('x/b', { ip: '10.0.1.1', labels: { app: 'b' }, ...onNode('n2', '192.168.0.2') }),
  hostPod('x/h1', 'n1', '192.168.0.1', { app: 'b' }),
  hostPod('x/h2', 'n2', '192.168.0.2', { app: 'b' }),
]

test('P30 the own node always gets in, P32 another one by a rule', async (t) => {
  const asked = ['x/h1>x/a 80', '192.168.0.1>x/a 80', 'x/h2>x/a 80', '192.168.0.2>x/a 80']
  const own = asked.slice(0, 2)
  t.same(passing(clusterOf(...nodes, np('x/p', isolated)), asked), own)
  const block = ingress({ from: [{ ipBlock: { cidr: '192.168.0.0/24' } }] })
  t.same(passing(clusterOf(...nodes, np('x/p', block)), asked), asked)
  const selected = ingress({ from: [{ podSelector: { matchLabels: { app: 'b' } } }] })
  t.same(passing(clusterOf(...nodes, np('x/p', selected)), asked), own, 'P33 labels admit no node')
  t.same(passing(clusterOf(...nodes, np('x/p', ingress({}))), asked), asked)
})

test('P31 egress to the own node needs a rule', async (t) => {
  const asked = ['x/a>x/h1 80', 'x/a>x/h2 80', 'x/a>192.168.0.1 80']
  t.same(passing(clusterOf(...nodes, np('x/p', isolated)), asked), [])
  const block = egress({ to: [{ ipBlock: { cidr: '192.168.0.1/32' } }] })
  t.same(passing(clusterOf(...nodes, np('x/p', block)), asked), ['x/a>x/h1 80', asked[2]])
})

test('P33 no policy selects a pod of the host network', async (t) => {
  const cluster = clusterOf(...nodes, np('x/p', isolated))
  t.same(passing(cluster, ['x/h1>x/h2 80', 'x/h1>192.0.2.7 80']), [
    'x/h1>x/h2 80',
    'x/h1>192.0.2.7 80',
  ])
  for (const one of cluster.pods)
    t.equal(
      selects([], one, cluster),
      !one.isHostNetwork,
      `a selector that selects all: ${one.name}`,
    )
  t.match(judge(cluster, 'x/h1', 'x/h2', '80'), { ingress: { kind: 'open', why: 'not-a-pod' } })
})

test('P42 pods without an address and P43 pods that are done are left out', async (t) => {
  const { cluster, notes, problems } = gather([
    namespace('x'),
    pod('x/a', { ip: '10.0.0.1' }),
    pod('x/new'),
    pod('x/ok', { ip: '10.0.0.2', status: { phase: 'Succeeded' } }),
    pod('x/bad', { ip: '10.0.0.3', status: { phase: 'Failed' } }),
  ])
  t.same(problems, [])
  t.same(matrixOf(cluster), { allowed: [], denied: [] })
  t.match(notes, [/x\/bad, x\/ok left out: their/, /x\/new left out: they have no address/])
})

test('P43 who gets the address of a pod that is done inherits nothing', async (t) => {
  const done = { labels: { app: 'old' }, ip: '10.0.0.2', status: { phase: 'Succeeded' } }
  const cluster = clusterOf(
    pod('x/old', done),
    pod('x/heir', { labels: { app: 'new' }, ip: '10.0.0.2' }),
    pod('x/a', { labels: { app: 'a' }, ip: '10.0.0.1' }),
    np('x/old', { podSelector: { matchLabels: { app: 'old' } } }),
    np('x/a', {
      podSelector: { matchLabels: { app: 'a' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'old' } } }] }],
    }),
  )
  const asked = ['x/a>x/heir 80', '10.0.0.2>x/a 80', 'x/heir>x/a 80']
  t.same(passing(cluster, asked), ['x/a>x/heir 80'])
  const { to } = connectionOf(cluster, 'x/a', '10.0.0.2', '80')
  t.match(to, { kind: 'pod', pod: { name: 'heir' } })
})

test('P46 labels and names of ports are what they are now', async (t) => {
  const policy = np(
    'x/p',
    ingress({
      from: [{ namespaceSelector: { matchLabels: { team: 'red' } } }],
      ports: [{ port: 'h' }],
    }),
  )
  const asked = ['y/c>x/a 80', 'y/c>x/a 81']
  const with_ = (team: string, port: string) =>
    passing(
      clusterOf(
        namespace('y', { team }),
        pod('x/a', { ip: '10.0.0.1', ports: [port] }),
        pod('y/c', { ip: '10.0.1.1' }),
        policy,
      ),
      asked,
    )
  t.same(with_('red', 'h=80'), ['y/c>x/a 80'])
  t.same(with_('red', 'h=81'), ['y/c>x/a 81'])
  t.same(with_('blue', 'h=80'), [])
})
