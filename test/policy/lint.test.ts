import { test } from 'tap'
import type { Finding } from '../../src/policy/finding.ts'
import { lint } from '../../src/policy/lint.ts'
import { clusterOf, cnp, namespace, np, passes, pod } from './objects.ts'

const base = [
  namespace('x', { team: 'red' }),
  namespace('kube-system'),
  pod('x/a', { labels: { app: 'a' }, ip: '10.0.0.1', ports: ['http=80'] }),
  pod('x/b', { labels: { app: 'b' }, ip: '10.0.0.2', ports: ['8080', 'dns=53/UDP'] }),
  pod('kube-system/dns', { labels: { 'k8s-app': 'kube-dns' }, ip: '10.0.1.1', ports: ['53/UDP'] }),
  np('kube-system/open', {
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ namespaceSelector: {} }] }],
    egress: [{ to: [{ namespaceSelector: {} }] }],
  }),
]
/** Closes x both ways and lets names be asked for: nothing to find. */
const allDns = { ports: ['UDP', 'TCP'].map((protocol) => ({ port: 53, protocol })) }
const clean = np('x/clean', { policyTypes: ['Ingress', 'Egress'], egress: [allDns] })
const isA = { podSelector: { matchLabels: { app: 'a' } } }
const http = { ports: [{ port: 80 }] }
const own = { podSelector: { matchLabels: { app: 'b' } } }
const red = { namespaceSelector: { matchLabels: { team: 'red' } } }

const found = (...policies: readonly object[]): readonly Finding[] =>
  lint(clusterOf(...base, ...policies))

test('lint: nothing to find', async (t) => t.same(found(clean), []))

type Row = { why: string; policies: readonly object[]; want: readonly object[] }
const one = (check: Finding['check'], text: RegExp, path = 'spec.ingress[0]') => [
  { check, path, text },
]
const rows: readonly Row[] = [
  {
    why: 'a selector that matches nothing',
    policies: [np('x/p', { podSelector: { matchLabels: { app: 'q' } } })],
    want: one('selects-nothing', /no running pod/, 'spec'),
  },
  {
    why: 'a peer that matches nothing',
    policies: [
      np('x/p', {
        ...isA,
        ingress: [{ from: [own, { podSelector: { matchLabels: { q: '' } } }] }],
      }),
    ],
    want: one('peer-matches-nothing', /peer 1/),
  },
  {
    why: 'a typo in the name of a port',
    policies: [np('x/p', { ...isA, ingress: [{ from: [own], ports: [{ port: 'htpp' }] }] })],
    want: one('port-name', /no pod has a TCP port named htpp; there is http\/TCP/),
  },
  {
    why: 'a name of another protocol, on egress',
    policies: [
      np('x/p', {
        ...isA,
        policyTypes: ['Egress'],
        egress: [{ to: [own], ports: [{ port: 'dns' }] }],
      }),
    ],
    want: one('port-name', /no pod has a TCP port named dns; there is dns\/UDP/, 'spec.egress[0]'),
  },
  {
    why: 'a port that nobody declares',
    policies: [
      np('x/p', { ...isA, ingress: [{ from: [own], ports: [{ port: 81, endPort: 90 }] }] }),
    ],
    want: one('nobody-listens', /TCP 81 to 90/),
  },
  {
    why: 'a rule that allows everything',
    policies: [np('x/p', { ...isA, ingress: [{}] })],
    want: one('empty-rule', /allows everything/),
  },
  {
    why: 'a rule that allows nothing',
    policies: [cnp('x/p', { endpointSelector: isA.podSelector, ingress: [{}] })],
    want: one('empty-rule', /allows nothing/),
  },
  {
    why: 'peers without ports, and a deny of nobody, are no empty rules',
    policies: [
      cnp('x/p', {
        endpointSelector: isA.podSelector,
        ingress: [{ fromEndpoints: [{}] }],
        ingressDeny: [{}],
      }),
    ],
    want: [],
  },
  {
    why: 'two peers where one was meant',
    policies: [np('x/p', { ...isA, ingress: [{ from: [red, own] }] })],
    want: one('either-peer', /whole namespaces and another one/),
  },
  {
    why: 'one peer with both is right',
    policies: [np('x/p', { ...isA, ingress: [{ from: [{ ...red, ...own }], ...http }] })],
    want: [],
  },
  {
    why: 'a rule behind one that allows everything',
    policies: [np('x/p', { ...isA, ingress: [http, {}] })],
    want: [
      ...one('shadowed', /spec\.ingress\[1\] allows everything/),
      ...one('empty-rule', /everything/, 'spec.ingress[1]'),
    ],
  },
  {
    why: 'a subject of the host network',
    policies: [
      pod('x/h', { labels: { app: 'a' }, ip: '192.168.0.1', spec: { hostNetwork: true } }),
      np('x/p', isA),
    ],
    want: [
      { check: 'host-network', object: 'NetworkPolicy x/clean' },
      ...one('host-network', /no effect on x\/h/, 'spec'),
    ],
  },
  {
    why: 'a policy of pods that have ended',
    policies: [
      pod('x/j', { labels: { app: 'j' }, ip: '10.0.0.9', status: { phase: 'Succeeded' } }),
      np('x/p', { podSelector: { matchLabels: { app: 'j' } } }),
    ],
    want: one('completed-pods', /some that have ended: x\/j$/, 'spec'),
  },
  {
    why: 'an empty list of peers, in the kind where it is nobody',
    policies: [
      cnp('x/p', {
        endpointSelector: isA.podSelector,
        ingress: [{ fromEndpoints: [], toPorts: [{ ports: [{ port: '80' }] }] }],
      }),
    ],
    want: one('empty-rule', /allows nothing; .* empty list of peers is anybody/),
  },
  {
    why: 'a port that no destination of egress has',
    policies: [
      np('x/p', {
        ...isA,
        policyTypes: ['Egress'],
        egress: [{ to: [own], ports: [{ port: 80 }] }],
      }),
    ],
    want: one('nobody-listens', /declares TCP 80; there is 8080$/, 'spec.egress[0]'),
  },
  {
    why: 'a destination that may be outside has any port',
    policies: [
      np('x/p', {
        ...isA,
        policyTypes: ['Egress'],
        egress: [{ to: [own, { ipBlock: { cidr: '192.0.2.0/24' } }], ports: [{ port: 80 }] }],
      }),
    ],
    want: [],
  },
  {
    why: 'a rule within one of another policy',
    policies: [
      np('x/p', { ...isA, ingress: [{ from: [own], ...http }] }),
      np('x/q', {
        ingress: [{ from: [{ namespaceSelector: {} }], ports: [{ port: 1, endPort: 99 }] }],
      }),
    ],
    want: one('shadowed', /adds nothing: NetworkPolicy x\/q spec\.ingress\[0\] allows all of it/),
  },
  {
    why: 'of two rules that say the same the later one',
    policies: [np('x/p', { ...isA, ingress: [{ from: [own] }, { from: [own] }] })],
    want: one('shadowed', /adds nothing: spec\.ingress\[0\] allows all/, 'spec.ingress[1]'),
  },
  {
    why: 'an allow that is denied',
    policies: [
      cnp('x/p', {
        endpointSelector: isA.podSelector,
        ingress: [{ fromEndpoints: [{ matchLabels: { app: 'b' } }] }],
        ingressDeny: [{ fromEndpoints: [{}] }],
      }),
    ],
    want: one('shadowed', /no effect: spec\.ingressDeny\[0\] denies all of it/),
  },
  {
    why: 'a rule of other pods, other ports or with a hole shadows nothing',
    policies: [
      np('x/p', { ...isA, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/24' } }], ...http }] }),
      np('x/q', {
        podSelector: own.podSelector,
        ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }], ports: [{ port: 8080 }] }],
      }),
      np('x/r', {
        ...isA,
        ingress: [
          { from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.0.0.128/25'] } }], ...http },
        ],
      }),
    ],
    want: [],
  },
  {
    why: 'a namespace without default deny',
    policies: [namespace('z'), pod('z/a', { ip: '10.0.2.1' }), np('z/p', { podSelector: {} })],
    want: [
      {
        check: 'open-namespace',
        object: 'Namespace z',
        text: /isolates for egress$/,
        fix: { spec: { podSelector: {}, policyTypes: ['Egress'] } },
      },
    ],
  },
]

for (const { why, policies, want } of rows)
  test(`lint: ${why}`, async (t) => {
    const all = found(clean, ...policies)
    t.equal(all.length, want.length, JSON.stringify(all))
    for (const [index, wanted] of want.entries()) t.match(all[index], wanted)
  })

test('lint: DNS under default deny, and the fix as a manifest', async (t) => {
  const closed = np('x/closed', { ...isA, policyTypes: ['Ingress', 'Egress'] })
  const rest = np('x/rest', { podSelector: own.podSelector, policyTypes: ['Ingress'] })
  const [finding, ...others] = found(closed, rest)
  t.match(finding, { check: 'dns', object: 'NetworkPolicy x/closed', text: /egress of x\/a, and/ })
  t.match(others, [{ check: 'open-namespace', object: 'Namespace x' }])
  const before = clusterOf(...base, closed, rest)
  t.notOk(passes(before, 'x/a', 'kube-system/dns', '53/UDP'))
  const after = clusterOf(...base, closed, rest, finding?.fix)
  t.ok(passes(after, 'x/a', 'kube-system/dns', '53/UDP'))
  t.ok(passes(after, 'x/a', '169.254.20.10', '53'), 'the cache on the node too')
  t.notOk(passes(after, 'x/a', 'x/b', '53/UDP'), 'and nobody else')
  t.ok(passes(after, 'x/b', '192.0.2.7', '80'), 'it closes nobody')
  t.same(
    lint(after).map(({ check }) => check),
    ['open-namespace'],
  )
})

test('lint: DNS by the address of the node’s cache is DNS', async (t) => {
  const cache = { to: [{ ipBlock: { cidr: '169.254.20.10/32' } }], ...allDns }
  const policy = np('x/p', { policyTypes: ['Ingress', 'Egress'], egress: [cache] })
  t.same(found(policy), [])
})

test('lint: DNS pods that no manifest has are as they always are', async (t) => {
  const labels = { matchLabels: { 'k8s-app': 'kube-dns' } }
  const to = [{ namespaceSelector: {}, podSelector: labels }]
  const closed = { policyTypes: ['Ingress', 'Egress'] }
  const checks = (egress: object) =>
    lint(clusterOf(...base.slice(0, 4), np('x/p', { ...closed, egress: [egress] })))
      .map(({ check }) => check)
      .filter((check) => check === 'dns')
  t.same(checks({ to, ...allDns }), [])
  t.same(checks({ to, ...http }), ['dns'])
})

test('lint: every finding says what it means and what to do', async (t) => {
  for (const { policies } of rows)
    for (const { meaning, remedy } of found(clean, ...policies))
      t.ok(meaning.length > 10 && remedy.length > 10)
})

const closedX = np('x/p', { policyTypes: ['Ingress', 'Egress'], egress: [http] })
const dnsOf = (...objects: readonly object[]) =>
  lint(clusterOf(...objects)).filter(({ check }) => check === 'dns')

test('lint: DNS over UDP alone', async (t) => {
  const udp = { ports: [{ port: 53, protocol: 'UDP' }] }
  const policy = np('x/p', { policyTypes: ['Ingress', 'Egress'], egress: [udp] })
  const [finding, ...others] = dnsOf(...base, policy)
  t.match(finding, {
    text: /x\/a, x\/b reach DNS on UDP 53, and not on TCP 53/,
    meaning: /too long/,
  })
  t.same(others, [])
  t.same(dnsOf(...base, policy, finding?.fix ?? {}), [])
})

test('lint: a pod that two policies close is told of once', async (t) => {
  const other = np('x/q', { ...isA, policyTypes: ['Egress'] })
  t.match(dnsOf(...base, closedX, other), [{ object: 'NetworkPolicy x/p', text: /x\/a, x\/b/ }])
})

test('lint: where nodes have a cache, pods ask that one', async (t) => {
  const cache = pod('kube-system/cache', {
    labels: { 'k8s-app': 'node-local-dns' },
    ip: '192.168.0.1',
    spec: { hostNetwork: true },
  })
  const kubeDns = {
    ...{ apiVersion: 'v1', kind: 'Service' },
    metadata: { namespace: 'kube-system', name: 'kube-dns' },
    spec: { clusterIP: '10.96.0.10', selector: { 'k8s-app': 'kube-dns' }, ports: [{ port: 53 }] },
  }
  const toServers = { to: [{ namespaceSelector: {} }], ...allDns }
  const policy = np('x/p', { policyTypes: ['Ingress', 'Egress'], egress: [toServers] })
  t.same(dnsOf(...base, policy), [], 'without it servers are enough')
  const [finding] = dnsOf(...base, policy, cache, kubeDns)
  t.match(finding?.text, /reach DNS \(NodeLocal DNSCache, on every node\)/)
  const after = clusterOf(...base, policy, cache, kubeDns, finding?.fix)
  for (const address of ['169.254.20.10', '10.96.0.10'])
    t.ok(passes(after, 'x/a', address, '53/UDP'), address)
  t.same(dnsOf(...base, policy, cache, kubeDns, finding?.fix ?? {}), [])
  const byService = { to: [{ ipBlock: { cidr: '10.96.0.10/32' } }], ...allDns }
  const other = np('x/p', { policyTypes: ['Ingress', 'Egress'], egress: [byService] })
  t.same(dnsOf(...base, other, cache, kubeDns), [], 'the cache has the address of the Service')
})

test('lint: DNS servers of the host network are addresses', async (t) => {
  const server = pod('kube-system/dns', {
    labels: { 'k8s-app': 'kube-dns' },
    ip: '192.168.0.1',
    ports: ['53/UDP', '53'],
    spec: { hostNetwork: true },
  })
  const objects = [...base.filter((one) => one !== base[4]), server]
  const [finding] = dnsOf(...objects, closedX)
  t.ok(passes(clusterOf(...objects, closedX, finding?.fix), 'x/a', 'kube-system/dns', '53/UDP'))
})

test('lint: DNS servers that nobody may ask', async (t) => {
  const shut = np('kube-system/shut', { ingress: [{ from: [{ podSelector: {} }] }] })
  const objects = [...base.filter((one) => one !== base[5]), shut, clean]
  const [finding, ...others] = dnsOf(...objects)
  t.match(finding, {
    object: 'NetworkPolicy kube-system/shut',
    text: /ingress of kube-system\/dns, and no rule lets x\/a, x\/b ask them/,
  })
  t.same(others, [])
  t.notOk(passes(clusterOf(...objects), 'x/a', 'kube-system/dns', '53/UDP'))
  t.ok(passes(clusterOf(...objects, finding?.fix), 'x/a', 'kube-system/dns', '53/UDP'))
})

test('lint: against a deny no manifest helps', async (t) => {
  const deny = cnp('x/d', { endpointSelector: {}, egressDeny: [{ toEntities: ['all'] }] })
  const [finding] = dnsOf(...base, deny)
  t.match(finding, { remedy: /CiliumNetworkPolicy x\/d spec\.egressDeny\[0\] denies it/ })
  t.notOk(finding?.fix)
})
