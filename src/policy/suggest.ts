import { addressBits, formatAddress } from '../base/address.ts'
import type { JsonObject } from '../cluster/json-value.ts'
import { namespaceNameLabel } from '../cluster/namespace.ts'
import type { Direction } from '../cluster/network-policy.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import type { Endpoint } from './endpoint.ts'
import type { Connection, Verdict } from './verdict.ts'

/** Labels that a controller makes anew with each rollout: a policy that names them ends with it. */
const passing = ['pod-template-hash', 'controller-revision-hash', 'pod-template-generation']
const nameCharactersMax = 63

/**
 * The NetworkPolicies, one for each end that is isolated, that let exactly this through: these
 * labels, this port. Where a deny rule decides nothing helps but to change it, and there are none.
 */
export function admitting(
  connection: Connection,
  { egress, ingress }: Verdict,
): readonly JsonObject[] {
  if (egress.kind === 'denied' || ingress.kind === 'denied') return []
  const { from, to } = connection
  return [
    egress.kind === 'isolated' ? policyFor('egress', from, to, connection) : undefined,
    ingress.kind === 'isolated' ? policyFor('ingress', to, from, connection) : undefined,
  ].filter((policy) => policy !== undefined)
}

function policyFor(
  direction: Direction,
  subject: Endpoint,
  peer: Endpoint,
  connection: Connection,
): JsonObject | undefined {
  if (subject.kind !== 'pod') return undefined
  const { pod } = subject
  const peers = { [direction === 'ingress' ? 'from' : 'to']: [peerOf(peer, pod)] }
  const ports =
    connection.protocol === 'ICMP'
      ? {}
      : { ports: [{ protocol: connection.protocol, port: connection.port }] }
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace: pod.namespace, name: nameOf(direction, pod, peer) },
    spec: {
      podSelector: selectorOf(pod),
      policyTypes: [direction === 'ingress' ? 'Ingress' : 'Egress'],
      [direction]: [{ ...peers, ...ports }],
    },
  }
}

function peerOf(peer: Endpoint, subject: Pod): JsonObject {
  const { address } = peer
  if (peer.kind !== 'pod')
    return { ipBlock: { cidr: `${formatAddress(address)}/${addressBits(address.family)}` } }
  const podSelector = selectorOf(peer.pod)
  const { namespace } = peer.pod
  return namespace === subject.namespace
    ? { podSelector }
    : { namespaceSelector: { matchLabels: { [namespaceNameLabel]: namespace } }, podSelector }
}

function selectorOf({ labels }: Pod): JsonObject {
  const lasting = [...labels].filter(([key]) => !passing.includes(key)).sort()
  return lasting.length === 0 ? {} : { matchLabels: Object.fromEntries(lasting) }
}

function nameOf(direction: Direction, pod: Pod, peer: Endpoint): string {
  const way = direction === 'ingress' ? 'from' : 'to'
  const other = peer.kind === 'pod' ? podKey(peer.pod) : formatAddress(peer.address)
  const name = `${pod.name}-${way}-${other}`.replaceAll(/[^a-z0-9-]+/g, '-')
  return `allow-${name}`.slice(0, nameCharactersMax).replace(/-+$/, '')
}
