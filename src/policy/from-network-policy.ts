import type { EndpointSelector } from '../cluster/endpoint-selector.ts'
import type { LabelSelector } from '../cluster/label-selector.ts'
import type {
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyRule,
} from '../cluster/network-policy.ts'
import type { Peer, Policy, Rule } from './model.ts'

export function fromNetworkPolicy(policy: NetworkPolicy): Policy {
  const { namespace, name, mode, podSelector, directions, rules } = policy
  return {
    kind: 'NetworkPolicy',
    namespace,
    name,
    path: 'spec',
    ...(mode === undefined ? {} : { mode }),
    subjects: [...inNamespace(namespace), ...podLabels(podSelector)],
    isolates: {
      ingress: directions.includes('ingress'),
      egress: directions.includes('egress'),
    },
    rules: rules.filter(({ isWhole }) => isWhole).map((rule) => fromRule(rule, namespace)),
  }
}

export const inNamespace = (name: string): EndpointSelector => [
  { of: 'namespace-name', key: '', operator: 'In', values: [name] },
]

const podLabels = (selector: LabelSelector): EndpointSelector =>
  selector.map((requirement) => ({ ...requirement, of: 'pod' }))

function fromRule({ path, direction, peers, ports }: NetworkPolicyRule, namespace: string): Rule {
  return {
    path,
    direction,
    action: 'allow',
    peers: peers?.map((peer) => fromPeer(peer, namespace)) ?? [{ kind: 'anybody' }],
    ...(ports ? { ports } : {}),
  }
}

function fromPeer(peer: NetworkPolicyPeer, namespace: string): Peer {
  if (peer.kind === 'block') return { ...peer, of: 'anybody' }
  const { podSelector = [], namespaceSelector } = peer
  const where: EndpointSelector = namespaceSelector
    ? namespaceSelector.map((requirement) => ({ ...requirement, of: 'namespace' }))
    : inNamespace(namespace)
  return { kind: 'pods', selector: [...where, ...podLabels(podSelector)] }
}
