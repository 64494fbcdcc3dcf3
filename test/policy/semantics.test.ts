import { test } from 'tap'
import { clusterOf, namespace, np, passing, pod } from './objects.ts'

// NetworkPolicy, each row by the number of the rule that it shows.

const all = {}
const app = (name: string) => ({ matchLabels: { app: name } })
const inNamespace = (name: string) => ({ matchLabels: { 'kubernetes.io/metadata.name': name } })
const ports = ['80', '81', '80/UDP', '80/SCTP']

/** Two namespaces of two pods each; the world is 192.0.2.0/24. */
const base = [
  namespace('x', { team: 'red' }),
  namespace('y', { team: 'blue' }),
  pod('x/a', { labels: { app: 'a', tier: 'front' }, ip: '10.0.0.1', ports }),
  pod('x/b', { labels: { app: 'b' }, ip: '10.0.0.2', ports }),
  pod('y/a', { labels: { app: 'a' }, ip: '10.0.1.1', ports }),
  pod('y/b', { labels: { app: 'b', tier: '' }, ip: '10.0.1.2', ports }),
]

const toA = ['x/b>x/a 80', 'y/a>x/a 80', 'y/b>x/a 80', '192.0.2.7>x/a 80']
const fromA = ['x/a>x/b 80', 'x/a>y/a 80', 'x/a>y/b 80', 'x/a>192.0.2.7 80']
const both = [...toA, ...fromA]
const on = (...specs: unknown[]) => specs.map((spec, index) => np(`x/p${index}`, spec))
const isA = { podSelector: app('a') }
const ingress = (rule: object) => ({ ...isA, policyTypes: ['Ingress'], ingress: [rule] })
const egress = (rule: object) => ({ ...isA, policyTypes: ['Egress'], egress: [rule] })

type Row = { why: string; policies: readonly object[]; asked: readonly string[]; want: unknown }

const rows: readonly Row[] = [
  { why: 'P1 no policyTypes: Ingress', policies: on(isA), asked: both, want: fromA },
  {
    why: 'P1 no policyTypes: Egress too where it has a rule',
    policies: on({ ...isA, egress: [{ to: [{ podSelector: all }] }] }),
    asked: both,
    want: ['x/a>x/b 80'],
  },
  {
    why: 'P1 an empty list of egress rules adds no Egress',
    policies: on({ ...isA, egress: [] }),
    asked: both,
    want: fromA,
  },
  {
    why: 'P1 empty policyTypes are absent ones',
    policies: on({ ...isA, policyTypes: [], egress: [{}] }),
    asked: both,
    want: fromA,
  },
  {
    why: 'P1 rules of a direction that policyTypes leaves out do nothing',
    policies: on({ ...isA, policyTypes: ['Ingress'], ingress: [{}], egress: [{ to: [isA] }] }),
    asked: both,
    want: both,
  },
  {
    why: 'P2 no protocol is TCP',
    policies: on(ingress({ ports: [{ port: 80 }] })),
    asked: ['x/b>x/a 80', 'x/b>x/a 80/UDP', 'x/b>x/a 80/SCTP'],
    want: ['x/b>x/a 80'],
  },
  {
    why: 'P3 no port is every port of the protocol',
    policies: on(ingress({ ports: [{ protocol: 'UDP' }] })),
    asked: ['x/b>x/a 80/UDP', 'x/b>x/a 9999/UDP', 'x/b>x/a 80', 'x/b>x/a ICMP'],
    want: ['x/b>x/a 80/UDP', 'x/b>x/a 9999/UDP'],
  },
  {
    why: 'P6 an except is taken out; host bits and leading zeros are forgiven',
    policies: on(
      ingress({ from: [{ ipBlock: { cidr: '192.0.02.99/24', except: ['192.0.2.8/29'] } }] }),
    ),
    asked: ['192.0.2.7>x/a 80', '192.0.2.9>x/a 80', '192.0.3.1>x/a 80'],
    want: ['192.0.2.7>x/a 80'],
  },
  {
    why: 'P9 no podSelector is all pods of the namespace',
    policies: on({ policyTypes: ['Ingress'] }),
    asked: ['y/a>x/a 80', 'y/a>x/b 80', 'x/a>y/a 80'],
    want: ['x/a>y/a 80'],
  },
  { why: 'P10 no policy: everything', policies: [], asked: both, want: both },
  {
    why: 'P11 an Ingress policy never touches egress',
    policies: on({ ...isA, policyTypes: ['Ingress'] }),
    asked: both,
    want: fromA,
  },
  {
    why: 'P11 an Egress policy never touches ingress',
    policies: on({ ...isA, policyTypes: ['Egress'] }),
    asked: both,
    want: toA,
  },
  {
    why: 'P11 a policy selects in its own namespace alone',
    policies: on({ podSelector: all, policyTypes: ['Ingress'] }),
    asked: ['x/a>y/a 80', 'x/b>y/b 80'],
    want: ['x/a>y/a 80', 'x/b>y/b 80'],
  },
  {
    why: 'P12 rules of all policies add up',
    policies: on(
      ingress({ from: [{ podSelector: app('b') }] }),
      ingress({ from: [{ namespaceSelector: inNamespace('y'), podSelector: app('a') }] }),
      { podSelector: all, policyTypes: ['Ingress'] },
    ),
    asked: toA,
    want: ['x/b>x/a 80', 'y/a>x/a 80'],
  },
  {
    why: 'P13 both ends have to allow it',
    policies: [
      ...on(egress({ to: [{ namespaceSelector: all }] })),
      np('y/closed', { podSelector: app('b'), policyTypes: ['Ingress'] }),
    ],
    asked: fromA,
    want: ['x/a>x/b 80', 'x/a>y/a 80'],
  },
  {
    why: 'P14 a policy of SCTP alone isolates TCP and UDP',
    policies: on(ingress({ ports: [{ protocol: 'SCTP', port: 80 }] })),
    asked: ['x/b>x/a 80', 'x/b>x/a 80/UDP', 'x/b>x/a 80/SCTP'],
    want: ['x/b>x/a 80/SCTP'],
  },
  {
    why: '1.3 ingress: [{}] allows all',
    policies: on(ingress({})),
    asked: [...toA, 'x/b>x/a ICMP'],
    want: [...toA, 'x/b>x/a ICMP'],
  },
  {
    why: '1.3 an empty list of rules denies all, null too',
    policies: on({ ...isA, policyTypes: ['Ingress'], ingress: [] }, { ...isA, ingress: null }),
    asked: toA,
    want: [],
  },
  {
    why: '1.3 an empty from is anybody, an empty ports any port',
    policies: on(ingress({ from: [], ports: [] })),
    asked: [...toA, 'x/b>x/a 9/UDP', 'x/b>x/a ICMP'],
    want: [...toA, 'x/b>x/a 9/UDP', 'x/b>x/a ICMP'],
  },
  {
    why: '1.3 podSelector: {} is the own namespace, nobody outside',
    policies: on(ingress({ from: [{ podSelector: all }] })),
    asked: toA,
    want: ['x/b>x/a 80'],
  },
  {
    why: '1.3 namespaceSelector: {} is all pods, nobody outside',
    policies: on(ingress({ from: [{ namespaceSelector: all }] })),
    asked: toA,
    want: toA.slice(0, 3),
  },
  {
    why: '1.3 both selectors in one peer: AND',
    policies: on(
      ingress({ from: [{ namespaceSelector: inNamespace('y'), podSelector: app('b') }] }),
    ),
    asked: toA,
    want: ['y/b>x/a 80'],
  },
  {
    why: '1.3 a peer each: OR',
    policies: on(
      ingress({ from: [{ namespaceSelector: inNamespace('y') }, { podSelector: app('b') }] }),
    ),
    asked: toA,
    want: ['x/b>x/a 80', 'y/a>x/a 80', 'y/b>x/a 80'],
  },
  {
    why: 'P15 from and ports of one rule both match; two rules do not mix',
    policies: on({
      ...isA,
      ingress: [
        { from: [{ podSelector: app('b') }], ports: [{ port: 80 }] },
        { from: [{ namespaceSelector: inNamespace('y') }], ports: [{ port: 81 }] },
      ],
    }),
    asked: ['x/b>x/a 80', 'x/b>x/a 81', 'y/b>x/a 80', 'y/b>x/a 81'],
    want: ['x/b>x/a 80', 'y/b>x/a 81'],
  },
  {
    why: 'P16 labels and expressions are ANDed',
    policies: on(
      ingress({
        from: [
          {
            namespaceSelector: all,
            podSelector: {
              matchLabels: { app: 'b' },
              matchExpressions: [{ key: 'tier', operator: 'Exists' }],
            },
          },
        ],
      }),
    ),
    asked: toA,
    want: ['y/b>x/a 80'],
  },
  {
    why: 'P16 NotIn holds where the key is missing',
    policies: on(
      ingress({
        from: [
          {
            podSelector: {
              matchExpressions: [{ key: 'tier', operator: 'NotIn', values: ['back'] }],
            },
          },
        ],
      }),
    ),
    asked: toA,
    want: ['x/b>x/a 80'],
  },
  {
    why: 'P16 DoesNotExist, and an empty value exists',
    policies: on(
      ingress({
        from: [
          {
            namespaceSelector: all,
            podSelector: { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] },
          },
        ],
      }),
    ),
    asked: toA,
    want: ['x/b>x/a 80', 'y/a>x/a 80'],
  },
  {
    why: 'P17 a namespace has its name for a label, a label of its own with it',
    policies: on(
      ingress({ from: [{ namespaceSelector: { matchLabels: { team: 'blue' } } }] }),
      ingress({ from: [{ namespaceSelector: inNamespace('x') }] }),
    ),
    asked: toA,
    want: toA.slice(0, 3),
  },
  {
    why: 'P18 ports are the destination’s in both directions',
    policies: on(egress({ ports: [{ port: 81 }] })),
    asked: ['x/a>x/b 80', 'x/a>x/b 81', 'x/a>192.0.2.7 81'],
    want: ['x/a>x/b 81', 'x/a>192.0.2.7 81'],
  },
  {
    why: 'P22 endPort is included, and equal to the port is one port',
    policies: on(
      ingress({ ports: [{ port: 80, endPort: 82 }, { port: 90, endPort: 90 }, { port: 100 }] }),
    ),
    asked: [79, 80, 82, 83, 89, 90, 91, 100, 101].map((port) => `x/b>x/a ${port}`),
    want: [80, 82, 90, 100].map((port) => `x/b>x/a ${port}`),
  },
  {
    why: 'P24 an ipBlock matches pods inside it',
    policies: on(ingress({ from: [{ ipBlock: { cidr: '10.0.1.0/31' } }] })),
    asked: toA,
    want: ['y/a>x/a 80'],
  },
  {
    why: 'P25 what one peer excepts another peer allows',
    policies: on(
      ingress({
        from: [
          { ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.1.0/24'] } },
          { ipBlock: { cidr: '10.0.1.2/32' } },
        ],
      }),
    ),
    asked: toA,
    want: ['x/b>x/a 80', 'y/b>x/a 80'],
  },
  {
    why: 'P25 what one policy excepts another one allows',
    policies: on(
      egress({ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.0/16'] } }] }),
      egress({ to: [{ podSelector: app('b') }] }),
    ),
    asked: fromA,
    want: ['x/a>x/b 80'],
  },
  {
    why: 'P34 a pod always reaches itself',
    policies: on({ podSelector: all, policyTypes: ['Ingress', 'Egress'] }),
    asked: ['x/a>x/a 80', 'x/a>x/b 80'],
    want: ['x/a>x/a 80'],
  },
  {
    why: 'P37 ICMP goes where a rule names no port',
    policies: on(
      ingress({ from: [{ podSelector: app('b') }], ports: [{ port: 80 }] }),
      ingress({ from: [{ namespaceSelector: inNamespace('y'), podSelector: app('a') }] }),
    ),
    asked: ['x/b>x/a ICMP', 'y/a>x/a ICMP', 'y/b>x/a ICMP'],
    want: ['y/a>x/a ICMP'],
  },
  {
    why: 'P47 deleting one of several shrinks the union, deleting the last opens',
    policies: on(ingress({ from: [{ podSelector: app('b') }] })),
    asked: toA,
    want: ['x/b>x/a 80'],
  },
]

for (const { why, policies, asked, want } of rows)
  test(why, async (t) => t.same(passing(clusterOf(...base, ...policies), asked), want))
