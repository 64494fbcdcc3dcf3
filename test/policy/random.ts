import fc from 'fast-check'
import { policyModeAnnotation } from '../../src/cluster/policy-mode.ts'
import { cnp, namespace, np, pod } from './objects.ts'

// Random clusters: few words and many of them equal, so that rules meet pods and each other.

const labels = fc.record(
  { app: fc.constantFrom('a', 'b'), tier: fc.constantFrom('f', 'g') },
  { requiredKeys: [] },
)
const expression = fc.oneof(
  fc.record({
    key: fc.constantFrom('app', 'tier'),
    operator: fc.constantFrom('In', 'NotIn'),
    values: fc.subarray(['a', 'b', 'f'], { minLength: 1 }),
  }),
  fc.record({
    key: fc.constantFrom('app', 'tier'),
    operator: fc.constantFrom('Exists', 'DoesNotExist'),
  }),
)
export const selector = fc.oneof(
  fc.constant({}),
  labels.map((matchLabels) => ({ matchLabels })),
  expression.map((one) => ({ matchExpressions: [one] })),
)
/** Around the pods' addresses and the nodes', and the holes of one where another is. */
const ipBlock = fc.constantFrom<{ cidr: string; except?: string[] }>(
  { cidr: '0.0.0.0/0' },
  { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '192.0.2.0/25'] },
  { cidr: '::/0' },
  { cidr: '::/0', except: ['fd00::2/127', 'fd00::/128', 'fd00::/127'] },
  { cidr: 'fd00::/126' },
  { cidr: '10.0.0.2/31' },
  { cidr: '10.0.0.0/16', except: ['10.0.0.0/30'] },
  { cidr: '10.0.0.0/29', except: ['10.0.0.4/31', '10.0.0.2/32', '10.0.0.4/32'] },
  { cidr: '192.168.0.0/24', except: ['192.168.0.1/32'] },
  { cidr: '192.168.0.2/32' },
)
const peer = fc.oneof(
  selector.map((podSelector) => ({ podSelector })),
  selector.map((namespaceSelector) => ({ namespaceSelector })),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  ipBlock.map((block) => ({ ipBlock: block })),
)
const protocol = fc.constantFrom('TCP', 'UDP', 'SCTP')
const port = fc.oneof(
  fc.record({ protocol, port: fc.constantFrom(80, 81, 'http') }),
  fc.record({ protocol }),
  fc.constant({ port: 79, endPort: 81 }),
)
const rule = (key: 'from' | 'to') =>
  fc.record(
    { [key]: fc.array(peer, { maxLength: 2 }), ports: fc.array(port, { maxLength: 2 }) },
    { requiredKeys: [] },
  )
export const networkPolicy = fc.record(
  {
    podSelector: selector,
    policyTypes: fc.subarray(['Ingress', 'Egress']),
    ingress: fc.array(rule('from'), { maxLength: 2 }),
    egress: fc.array(rule('to'), { maxLength: 2 }),
  },
  { requiredKeys: ['podSelector'] },
)
const toPorts = fc.constantFrom(undefined, [
  {
    ports: [
      { port: '80', protocol: 'ANY' },
      { port: 'http', protocol: 'TCP' },
    ],
  },
])
const ciliumSelector = fc.oneof(
  { weight: 3, arbitrary: selector },
  fc
    .constantFrom(
      ['k8s:io.kubernetes.pod.namespace', 'y'],
      ['io.cilium.k8s.namespace.labels.tier', 'g'],
      ['io.cilium.k8s.policy.serviceaccount', 'robot'],
      ['io.cilium.k8s.policy.serviceaccount', 'default'],
    )
    .map(([key = '', value]) => ({ matchLabels: { [key]: value } })),
)
const ciliumRule = (way: 'from' | 'to') =>
  fc
    .tuple(
      fc.oneof(
        fc.array(ciliumSelector, { maxLength: 2 }).map((list) => ({ [`${way}Endpoints`]: list })),
        fc.constantFrom('all', 'cluster', 'world', 'host', 'remote-node').map((entity) => ({
          [`${way}Entities`]: [entity],
        })),
        fc.constant({ [`${way}CIDR`]: ['0.0.0.0/0'] }),
        ipBlock.map((block) => ({ [`${way}CIDRSet`]: [block] })),
        fc.constant({}),
      ),
      toPorts,
    )
    .map(([peers, ports]) => ({ ...peers, ...(ports ? { toPorts: ports } : {}) }))
const ciliumPolicy = fc.record(
  {
    endpointSelector: selector,
    ingress: fc.array(ciliumRule('from'), { minLength: 1, maxLength: 2 }),
    egress: fc.array(ciliumRule('to'), { maxLength: 2 }),
    ingressDeny: fc.array(ciliumRule('from'), { maxLength: 1 }),
    egressDeny: fc.array(ciliumRule('to'), { maxLength: 1 }),
    enableDefaultDeny: fc.record({ ingress: fc.boolean() }, { requiredKeys: [] }),
  },
  { requiredKeys: ['endpointSelector', 'ingress'] },
)
const place = fc.constantFrom('x', 'y')
const asNetworkPolicy = fc.tuple(place, networkPolicy).map(
  ([where, spec]) =>
    (index: number) =>
      np(`${where}/p${index}`, spec),
)
export const mode = fc.constantFrom(undefined, undefined, undefined, undefined, 'audit', 'enforce')
export const asAny = fc
  .tuple(
    fc.oneof(
      asNetworkPolicy,
      fc.tuple(place, ciliumPolicy).map(
        ([where, spec]) =>
          (index: number) =>
            cnp(`${where}/p${index}`, spec),
      ),
    ),
    mode,
  )
  .map(
    ([make, word]) =>
      (index: number) =>
        inMode(make(index), word),
  )
/** Tried out, or enforced whatever its namespace says; or as that says. */
export function inMode<Made extends { readonly metadata: object }>(
  object: Made,
  word: string | undefined,
): Made {
  if (word === undefined) return object
  const annotations = { [policyModeAnnotation]: word }
  return { ...object, metadata: { ...object.metadata, annotations } }
}
type Maker = (index: number) => ReturnType<typeof np> | ReturnType<typeof cnp>
const listOf = (one: fc.Arbitrary<Maker>) =>
  fc.array(one, { maxLength: 4 }).map((makers) => makers.map((make, index) => make(index)))
export const policies = listOf(asAny)
export const networkPolicies = listOf(asNetworkPolicy)

export const podParts = fc.record({
  labels,
  node: fc.constantFrom('n1', 'n2'),
  isHostNetwork: fc.integer({ min: 0, max: 9 }).map((chance) => chance === 0),
  isDual: fc.boolean(),
  /** The last one's address is the first one's by now. */
  isDone: fc.integer({ min: 0, max: 9 }).map((chance) => chance === 0),
  http: fc.constantFrom(['http=80'], ['http=81'], ['http=81/UDP'], ['http=80', 'http=81/UDP']),
  account: fc.constantFrom('default', 'default', 'robot'),
})
export const pods = fc
  .tuple(podParts, podParts, podParts, podParts)
  .map((all) => all.map((parts, index) => podOf(parts, index)))

export type Parts = typeof podParts extends fc.Arbitrary<infer Value> ? Value : never

/** Of namespace x or y in turn. */
export function podOf({ labels: own, node, http, account, ...is }: Parts, index: number) {
  const hostIP = node === 'n1' ? '192.168.0.1' : '192.168.0.2'
  const number = is.isDone ? 1 : index + 1
  const ips = [`10.0.0.${number}`, ...(is.isDual ? [`fd00::${number}`] : [])]
  return pod(`${index % 2 === 0 ? 'x' : 'y'}/${index}`, {
    labels: own,
    ip: is.isHostNetwork ? hostIP : ips,
    ports: [...http, '82', '80/SCTP'],
    spec: { nodeName: node, hostNetwork: is.isHostNetwork, serviceAccountName: account },
    status: { hostIP, phase: is.isDone ? 'Succeeded' : 'Running' },
  })
}
export const spaces = [namespace('x', { app: 'a' }), namespace('y', { app: 'b', tier: 'g' })]
