import { test } from 'tap'
import { lintGathered } from '../../src/policy/lint.ts'
import { cnp, gather, namespace, np, pod } from './objects.ts'

const base = [
  namespace('x'),
  pod('x/a', { labels: { app: 'a' }, ip: '10.0.0.1', ports: ['http=8080'] }),
  np('x/all', {
    policyTypes: ['Ingress', 'Egress'],
    egress: [{ to: [{ namespaceSelector: {} }] }],
  }),
]
const isA = { podSelector: { matchLabels: { app: 'a' } } }
const block = (cidr: string, except: readonly string[] = []) => ({ ipBlock: { cidr, except } })
const service = (spec: object, selector: object = { app: 'a' }) => ({
  ...{ apiVersion: 'v1', kind: 'Service' },
  metadata: { namespace: 'x', name: 'web' },
  spec: { selector, ports: [{ port: 80, targetPort: 8080 }], ...spec },
})
const nodePort = { type: 'NodePort' }
const ingress = (...from: readonly object[]) =>
  np('x/p', { ...isA, ingress: [{ from, ports: [{ port: 8080 }] }] })
const found = (...objects: readonly object[]) =>
  lintGathered(gather([...base, ...objects])).filter(
    ({ check }) => !['dns', 'open-namespace', 'peer-matches-nothing'].includes(check),
  )

test('lint: nothing to find', async (t) => t.same(found(), []))

const local = block('192.0.2.0/24')
for (const { why, objects, isFound } of [
  { why: 'NodePort', objects: [service(nodePort), ingress(local)], isFound: true },
  {
    why: 'LoadBalancer, by the name of the port',
    objects: [
      service({ type: 'LoadBalancer', ports: [{ port: 80, targetPort: 'http' }] }),
      ingress(local),
    ],
    isFound: true,
  },
  {
    why: 'a block with a hole',
    objects: [service(nodePort), ingress(block('0.0.0.0/0', ['192.0.2.0/24']))],
    isFound: true,
  },
  {
    why: 'externalTrafficPolicy is Local',
    objects: [service({ ...nodePort, externalTrafficPolicy: 'Local' }), ingress(local)],
    isFound: false,
  },
  { why: 'ClusterIP', objects: [service({}), ingress(local)], isFound: false },
  { why: 'no rule by address', objects: [service(nodePort), ingress(isA)], isFound: false },
  {
    why: 'every address is admitted',
    objects: [service(nodePort), ingress(block('0.0.0.0/0'))],
    isFound: false,
  },
  {
    why: 'another port',
    objects: [service({ ...nodePort, ports: [{ port: 8080, targetPort: 9090 }] }), ingress(local)],
    isFound: false,
  },
  {
    why: 'anybody is admitted besides',
    objects: [service(nodePort), ingress(local), np('x/q', { ...isA, ingress: [{}] })],
    isFound: false,
  },
  {
    why: 'other pods',
    objects: [service(nodePort, { app: 'b' }), ingress(local)],
    isFound: false,
  },
])
  test(`lint: P27 clients behind nodes' addresses: ${why}`, async (t) => {
    const all = found(...objects).filter(({ check }) => check === 'hidden-clients')
    t.equal(all.length, isFound ? 1 : 0, JSON.stringify(all))
    if (!isFound) return
    t.match(all[0], {
      object: 'Service x/web',
      place: 'object 3',
      path: 'spec.externalTrafficPolicy',
      text: /NetworkPolicy x\/p spec\.ingress\[0\] tells clients of x\/a by address/,
      fix: { kind: 'Service', spec: { externalTrafficPolicy: 'Local' } },
    })
  })

test("lint: P18 a Service's port where its pods' is meant", async (t) => {
  const egress = (port: number) =>
    np('x/p', { ...isA, policyTypes: ['Egress'], egress: [{ to: [isA], ports: [{ port }] }] })
  const [first, ...others] = found(service({}), egress(80))
  t.match(first, { check: 'shadowed' }, 'by x/all')
  t.match(others, [
    { check: 'service-port', text: /TCP 80, the port of Service x\/web/, remedy: 'write 8080' },
  ])
  t.match(found(egress(80)).slice(1), [{ check: 'nobody-listens' }])
  t.same(found(service({}), egress(8080)).slice(1), [])
})

test('lint: what only the manifest shows', async (t) => {
  const slips = np('x/p', {
    ...isA,
    policyTypes: ['Ingress'],
    ingress: [{ from: [], ports: [{ port: 8080 }] }],
    egress: [{ to: [isA] }],
  })
  t.match(found(slips), [
    { check: 'empty-peers', path: 'spec.ingress[0].from', place: 'object 3', text: /anybody/ },
    { check: 'rules-without-type', path: 'spec.egress', text: /no Egress: nothing of them/ },
  ])
})

test('lint: what is refused is a finding: L7, nodes, names', async (t) => {
  const http = { toPorts: [{ ports: [{ port: '8080' }], rules: { http: [{ path: '/' }] } }] }
  const l7 = cnp('x/l7', { endpointSelector: {}, ingress: [http] })
  const names = cnp('x/n', { endpointSelector: {}, egress: [{ toFQDNs: [{ matchName: 'a' }] }] })
  const refused = found(l7, names).filter(({ check }) => check === 'refused')
  t.match(refused, [
    {
      object: 'CiliumNetworkPolicy x/l7',
      path: 'spec.ingress[0].toPorts[0].rules',
      meaning: /is not allowed/,
      remedy: /proxy/,
    },
    { path: 'spec.egress[0].toFQDNs', text: /which Tulle does not do; accepted: / },
  ])
})
