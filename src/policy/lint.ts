import type { JsonObject } from '../cluster/json-value.ts'
import { directions } from '../cluster/network-policy.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import { dnsFindings } from './lint-dns.ts'
import type { Cluster, Peer, Policy, Rule } from './model.ts'
import { isSelectable, policiesOf, selects } from './select.ts'

/** What is likely not meant. */
export type Finding = {
  readonly check:
    | 'dns'
    | 'selects-nothing'
    | 'peer-matches-nothing'
    | 'port-name'
    | 'nobody-listens'
    | 'host-network'
    | 'open-namespace'
    | 'empty-rule'
    | 'either-peer'
    | 'shadowed'
  /** "NetworkPolicy shop/api", "Namespace shop" */
  readonly object: string
  /** "spec.ingress[0]" */
  readonly path?: string
  readonly text: string
  /** A manifest that mends it. */
  readonly fix?: JsonObject
}

/** In the order of the policies and their rules; checks that need no policy come last. */
export const lint = (cluster: Cluster): readonly Finding[] => [
  ...cluster.policies.flatMap((policy) => [
    ...subjectFindings(policy, cluster),
    ...policy.rules.flatMap((rule) =>
      ruleFindings(policy, rule, cluster).map(({ check, text }) => ({
        check,
        object: titleOf(policy),
        path: rule.path,
        text,
      })),
    ),
    ...dnsFindings(policy, cluster),
  ]),
  ...namespaceFindings(cluster),
]

const titleOf = ({ kind, namespace, name }: Policy): string => `${kind} ${namespace}/${name}`

const subjectsOf = ({ subjects }: Policy, cluster: Cluster): readonly Pod[] =>
  cluster.pods.filter((pod) => selects(subjects, pod, cluster))

function subjectFindings(policy: Policy, cluster: Cluster): readonly Finding[] {
  const { path } = policy
  const object = titleOf(policy)
  const onHosts = cluster.pods
    .filter(({ isHostNetwork }) => isHostNetwork)
    .filter((pod) => selects(policy.subjects, { ...pod, isHostNetwork: false }, cluster))
    .map(podKey)
  const nobody = subjectsOf(policy, cluster).length === 0
  return [
    ...(nobody
      ? [{ check: 'selects-nothing', object, path, text: 'selects no running pod' } as const]
      : []),
    ...(onHosts.length > 0
      ? [
          {
            check: 'host-network',
            object,
            path,
            text: `has no effect on ${onHosts.join(', ')}, which have the node's network`,
          } as const,
        ]
      : []),
  ]
}

type RuleFinding = Pick<Finding, 'check' | 'text'>

function ruleFindings(policy: Policy, rule: Rule, cluster: Cluster): readonly RuleFinding[] {
  return [
    ...emptyRule(policy, rule),
    ...eitherPeer(rule),
    ...shadowed(policy, rule),
    ...peersOfNobody(rule, cluster),
    ...portsOfNobody(policy, rule, cluster),
  ]
}

const isEverything = ({ action, peers, ports }: Rule): boolean =>
  action === 'allow' && ports === undefined && peers.some(({ kind }) => kind === 'anybody')

/** `{}` is everything to a NetworkPolicy and nothing to a CiliumNetworkPolicy. */
function emptyRule({ kind }: Policy, rule: Rule): readonly RuleFinding[] {
  const { action, peers, ports } = rule
  if (kind === 'NetworkPolicy' && isEverything(rule)) {
    const text = 'allows everything; in a CiliumNetworkPolicy an empty rule allows nothing'
    return [{ check: 'empty-rule', text }]
  }
  if (kind === 'NetworkPolicy' || action === 'deny' || peers.length > 0 || ports) return []
  const text = 'allows nothing; in a NetworkPolicy an empty rule allows everything'
  return [{ check: 'empty-rule', text }]
}

/** "- namespaceSelector … - podSelector …" where one peer with both was meant. */
function eitherPeer({ peers }: Rule): readonly RuleFinding[] {
  const selectors = peers.flatMap((peer) => (peer.kind === 'pods' ? [peer.selector] : []))
  const isOfNamespaces = selectors.some(
    (selector) => selector.length > 0 && selector.every(({ of }) => of === 'namespace'),
  )
  const isOfOwnPods = selectors.some(
    (selector) =>
      selector.some(({ of }) => of === 'namespace-name') && selector.some(({ of }) => of === 'pod'),
  )
  if (!isOfNamespaces || !isOfOwnPods) return []
  const text =
    'one peer is whole namespaces and another one pods of its own namespace: either of them is ' +
    'allowed; for those pods in those namespaces, write both selectors in one peer'
  return [{ check: 'either-peer', text }]
}

function shadowed(policy: Policy, rule: Rule): readonly RuleFinding[] {
  if (rule.action === 'deny') return []
  const cover = policy.rules.find(
    (other) => other.direction === rule.direction && isEverything(other),
  )
  if (!cover || isEverything(rule)) return []
  return [{ check: 'shadowed', text: `adds nothing: ${cover.path} allows everything` }]
}

const isAmong = (peer: Peer, cluster: Cluster) => (pod: Pod) =>
  peer.kind === 'anybody' || (peer.kind === 'pods' && selects(peer.selector, pod, cluster))

function peersOfNobody({ peers }: Rule, cluster: Cluster): readonly RuleFinding[] {
  return peers.flatMap((peer, index): readonly RuleFinding[] => {
    if (peer.kind !== 'pods' || cluster.pods.some(isAmong(peer, cluster))) return []
    return [{ check: 'peer-matches-nothing', text: `peer ${index} selects no running pod` }]
  })
}

/** Names that no destination has, and numbers that no destination of ingress declares. */
function portsOfNobody(policy: Policy, rule: Rule, cluster: Cluster): readonly RuleFinding[] {
  const isIngress = rule.direction === 'ingress'
  const targets = isIngress
    ? subjectsOf(policy, cluster)
    : cluster.pods.filter(
        (pod) => isSelectable(pod) && rule.peers.some((peer) => isAmong(peer, cluster)(pod)),
      )
  if (targets.length === 0) return []
  const declared = targets.flatMap(({ ports }) => ports)
  return (rule.ports ?? []).flatMap((port): readonly RuleFinding[] => {
    const ofProtocol = declared.filter(({ protocol }) => protocol === port.protocol)
    if (port.kind === 'name' && !ofProtocol.some(({ name }) => name === port.name)) {
      const names = [
        ...new Set(declared.flatMap(({ name, protocol }) => name && `${name}/${protocol}`)),
      ]
      const there =
        names
          .filter((name) => name !== undefined)
          .sort()
          .join(', ') || 'no names'
      const text = `no pod has a ${port.protocol} port named ${port.name}; there is ${there}`
      return [{ check: 'port-name', text }]
    }
    if (!isIngress || port.kind !== 'range' || ofProtocol.length === 0) return []
    if (ofProtocol.some((one) => port.first <= one.port && one.port <= port.last)) return []
    const range = port.first === port.last ? `${port.first}` : `${port.first} to ${port.last}`
    const text = `no pod that it selects declares ${port.protocol} ${range}`
    return [{ check: 'nobody-listens', text }]
  })
}

/** Namespaces with pods that no policy isolates. */
function namespaceFindings(cluster: Cluster): readonly Finding[] {
  const groups = Map.groupBy(cluster.pods.filter(isSelectable), ({ namespace }) => namespace)
  return [...groups].sort().flatMap(([namespace, pods]): readonly Finding[] => {
    const open = directions.filter((direction) =>
      pods.some((pod) => !policiesOf(cluster, pod).some(({ isolates }) => isolates[direction])),
    )
    if (open.length === 0) return []
    const policyTypes = open.map((direction) => (direction === 'ingress' ? 'Ingress' : 'Egress'))
    return [
      {
        check: 'open-namespace',
        object: `Namespace ${namespace}`,
        text: `has pods that no policy isolates for ${open.join(' and ')}`,
        fix: {
          apiVersion: 'networking.k8s.io/v1',
          kind: 'NetworkPolicy',
          metadata: { namespace, name: `default-deny-${open.join('-')}` },
          spec: { podSelector: {}, policyTypes },
        },
      },
    ]
  })
}
