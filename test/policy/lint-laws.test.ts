import fc from 'fast-check'
import { test } from 'tap'
import type { Pod } from '../../src/cluster/pod.ts'
import { coversRule } from '../../src/policy/cover.ts'
import { cacheEnds, dnsOf, serverEnds } from '../../src/policy/dns.ts'
import { endpointOf } from '../../src/policy/endpoint.ts'
import { explain } from '../../src/policy/explain.ts'
import { fromObjects } from '../../src/policy/from-objects.ts'
import { lint, lintGathered } from '../../src/policy/lint.ts'
import type { Cluster } from '../../src/policy/model.ts'
import { type Connection, verdict } from '../../src/policy/verdict.ts'
import { holds } from '../base/law.ts'
import { clusterOf, cnp, gather, namespace, np, pod } from './objects.ts'

// Labels are few, so that selectors do meet pods.
const labels = fc.record(
  { app: fc.constantFrom('a', 'b'), 'k8s-app': fc.constantFrom('kube-dns', 'node-local-dns') },
  { requiredKeys: [] },
)
const requirement = fc.oneof(
  fc.record({
    key: fc.constantFrom('app', 'k8s-app'),
    operator: fc.constantFrom('In', 'NotIn'),
    values: fc.subarray(['a', 'b', 'kube-dns'], { minLength: 1 }),
  }),
  fc.record({
    key: fc.constantFrom('app', 'k8s-app'),
    operator: fc.constantFrom('Exists', 'DoesNotExist'),
  }),
)
const selector = fc.oneof(
  fc.constant({}),
  labels.map((matchLabels) => ({ matchLabels })),
  fc.array(requirement, { minLength: 1, maxLength: 2 }).map((matchExpressions) => ({
    matchExpressions,
  })),
)
const peer = fc.oneof(
  selector.map((podSelector) => ({ podSelector })),
  selector.map((namespaceSelector) => ({ namespaceSelector })),
  fc
    .constantFrom('0.0.0.0/0', '10.0.0.0/24', '10.0.0.0/30', '169.254.20.10/32', 'fd00::/64')
    .map((cidr) => ({ ipBlock: { cidr } })),
  fc.constant({ ipBlock: { cidr: '10.0.0.0/24', except: ['10.0.0.2/31'] } }),
)
const port = fc.oneof(
  fc.record({
    protocol: fc.constantFrom('TCP', 'UDP'),
    port: fc.constantFrom(53, 80, 'dns', 'http'),
  }),
  fc.constantFrom({ port: 1, endPort: 100, protocol: 'UDP' }, { protocol: 'TCP' }),
)
const rule = (key: 'from' | 'to') =>
  fc.record(
    { [key]: fc.array(peer, { maxLength: 2 }), ports: fc.array(port, { maxLength: 2 }) },
    { requiredKeys: [] },
  )
const spec = fc.record(
  {
    podSelector: selector,
    policyTypes: fc.subarray(['Ingress', 'Egress']),
    ingress: fc.array(rule('from'), { maxLength: 2 }),
    egress: fc.array(rule('to'), { maxLength: 2 }),
  },
  { requiredKeys: ['podSelector'] },
)
const where = fc.constantFrom('x', 'kube-system')
const policies = fc
  .array(fc.tuple(where, spec), { maxLength: 4 })
  .map((all) => all.map(([space, one], index) => np(`${space}/p${index}`, one)))
const ciliumPolicies = fc.array(
  fc.record({
    endpointSelector: selector,
    egressDeny: fc.array(fc.record({ toEndpoints: fc.array(selector, { maxLength: 1 }) }), {
      maxLength: 1,
    }),
    ingress: fc.array(fc.record({ fromEndpoints: fc.array(selector, { maxLength: 1 }) }), {
      maxLength: 1,
    }),
  }),
  { maxLength: 1 },
)
const pods = fc
  .array(fc.record({ where, labels, isOnHost: fc.boolean(), isDone: fc.boolean() }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((all) =>
    all.map((one, index) =>
      pod(`${one.where}/w${index}`, {
        labels: one.labels,
        ip: [`10.0.0.${index + 1}`, `fd00::${index + 1}`],
        ports: ['http=80', 'dns=53/UDP', '53'],
        spec: { hostNetwork: one.isOnHost },
        status: { phase: one.isDone ? 'Failed' : 'Running' },
      }),
    ),
  )
const services = fc
  .array(
    fc.record({
      name: fc.constantFrom('kube-dns', 'other'),
      type: fc.constantFrom('ClusterIP', 'NodePort', 'LoadBalancer'),
      selector: labels,
    }),
    { maxLength: 1 },
  )
  .map((all) =>
    all.map(({ name, type, selector: chosen }) => ({
      ...{ apiVersion: 'v1', kind: 'Service' },
      metadata: { namespace: 'kube-system', name },
      spec: { type, selector: chosen, clusterIP: '10.96.0.10', ports: [{ port: 80 }] },
    })),
  )
const spaces = [namespace('x'), namespace('kube-system')]

test('lint throws on nothing that can be read as a cluster', async (t) =>
  holds(
    t,
    fc.property(pods, policies, ciliumPolicies, services, (some, nps, cnps, svcs) => {
      const more = cnps.map((one, index) => cnp(`x/c${index}`, one))
      const gathered = gather([...spaces, ...some, ...nps, ...more, ...svcs])
      for (const { check, object, text, meaning, remedy } of lintGathered(gathered))
        if ([check, object, text, meaning, remedy].some((word) => word === '')) return false
      return true
    }),
  ))

const kind = fc.constantFrom(
  ...['v1 Pod', 'v1 Namespace', 'v1 Node', 'v1 Service', 'networking.k8s.io/v1 NetworkPolicy'],
  ...['cilium.io/v2 CiliumNetworkPolicy', 'v1 List', 'v1 PodList', 'a/v1 B'],
)
const keys = [
  ...['metadata', 'name', 'namespace', 'labels', 'spec', 'specs', 'status', 'podSelector', 'from'],
  ...['to', 'ports', 'port', 'ingress', 'egress', 'ingressDeny', 'policyTypes', 'matchLabels'],
  ...['matchExpressions', 'ipBlock', 'cidr', 'except', 'endpointSelector', 'toPorts', 'items'],
  ...['selector', 'type', 'targetPort', 'clusterIPs', 'containers', 'podIPs', 'ip', '__proto__'],
]
const leaf = fc.oneof(
  fc.constantFrom('x', 'Ingress', 'Egress', '10.0.0.0/8', 'TCP', 80, 0, -1, null, true, '', 'a/b'),
  fc.anything({ maxDepth: 1 }),
)
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof({ maxDepth: 5 }, leaf, tie('list'), tie('object')),
  list: fc.array(tie('tree'), { maxLength: 3 }),
  object: fc.dictionary(fc.constantFrom(...keys), tie('tree'), { maxKeys: 6 }),
}))
const anyObject = fc
  .tuple(kind, fc.dictionary(fc.constantFrom(...keys), tree))
  .map(([one, rest]) => {
    const [apiVersion = '', word = ''] = one.split(' ')
    return { ...rest, apiVersion, kind: word }
  })

test('lint throws on no objects, however odd', async (t) =>
  holds(
    t,
    fc.property(fc.array(fc.oneof(anyObject, fc.anything()), { maxLength: 5 }), (objects) => {
      lintGathered(fromObjects(objects.map((object) => ({ place: 'p', object }))))
      return true
    }),
  ))

test('lint: with the fixes for DNS applied, explain says that names are allowed', async (t) =>
  holds(
    t,
    fc.property(pods, policies, (some, nps) => {
      const objects = [...spaces, ...some, ...nps]
      const fixes = lint(clusterOf(...objects)).flatMap(({ check, fix }) =>
        check === 'dns' && fix ? [fix] : [],
      )
      const after = clusterOf(...objects, ...fixes)
      if (lint(after).some(({ check }) => check === 'dns')) return false
      const dns = dnsOf(after)
      return after.pods
        .filter((pod) => !pod.isDone && !pod.isHostNetwork && !dns.servers.includes(pod))
        .every((asking) => isAnswered(asking, after))
    }),
  ))

/** By one server, or by the cache of its node, over one of its families. */
function isAnswered(pod: Pod, cluster: Cluster): boolean {
  const dns = dnsOf(cluster)
  return pod.addresses.some((address) =>
    [...serverEnds(dns, address.family), ...cacheEnds(dns, address, pod)].some((to) => {
      const from = endpointOf(pod, address)
      const connection = { from, to, protocol: 'UDP', port: 53 } as const
      const told = explain(connection, verdict(cluster, connection))
      // Of servers that no manifest has nobody knows whom they serve.
      if (dns.servers.length === 0) return ['allowed', 'open'].includes(told.egress.kind)
      return told.verdict === 'allowed'
    }),
  )
}

/** Most rules at random have nothing to do with each other: these have one peer and port each. */
const narrowRule = fc.record(
  { from: fc.tuple(fc.oneof(peer, overlapping())), ports: fc.tuple(port) },
  { requiredKeys: ['from'] },
)
const rulePair = fc.oneof(fc.tuple(narrowRule, narrowRule), fc.tuple(rule('from'), rule('from')))

function overlapping() {
  const except = fc.subarray(['10.0.0.0/29', '10.0.0.2/31', '10.0.0.4/32'])
  const cidr = fc.constantFrom('10.0.0.0/8', '10.0.0.0/24', '10.0.0.0/28')
  const block = fc.record({ cidr, except }).map((ipBlock) => ({ ipBlock }))
  const values = fc.subarray(['a', 'b', 'kube-dns'], { minLength: 1 })
  const operator = fc.constantFrom('In', 'NotIn')
  const one = fc.record({ key: fc.constant('app'), operator, values })
  return fc.oneof(
    block,
    one.map((expression) => ({ podSelector: { matchExpressions: [expression] } })),
  )
}

test('what covers a rule allows all that it allows, by the reference', async (t) =>
  holds(
    t,
    fc.property(pods, rulePair, (some, [wide, narrow]) => {
      const clusterBy = (one: object) =>
        clusterOf(...spaces, ...some, np('x/p', { podSelector: {}, ingress: [one] }))
      const [above, below] = [clusterBy(wide), clusterBy(narrow)]
      const [first, second] = [above, below].map(({ policies: [policy] }) => policy?.rules[0])
      if (!first || !second || !coversRule(first, second)) return true
      return connectionsIn(below).every(
        (one) => !verdict(below, one).isAllowed || verdict(above, one).isAllowed,
      )
    }),
    2_000,
  ))

const asked = [
  { protocol: 'UDP', port: 53 },
  { protocol: 'TCP', port: 53 },
  { protocol: 'TCP', port: 80 },
] as const

const connectionsIn = ({ pods: all }: Cluster): readonly Connection[] =>
  all.flatMap((from) =>
    all.flatMap((to) =>
      [0, 1].flatMap((at) => {
        const [source, target] = [from.addresses[at], to.addresses[at]]
        if (!source || !target) return []
        const ends = { from: endpointOf(from, source), to: endpointOf(to, target) }
        return asked.map((one) => ({ ...ends, ...one }))
      }),
    ),
  )
