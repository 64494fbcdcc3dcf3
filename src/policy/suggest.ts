import { addressBits, formatAddress } from '../base/address.ts'
import type { JsonObject } from '../cluster/json-value.ts'
import { namespaceNameLabel } from '../cluster/namespace.ts'
import type { Direction } from '../cluster/network-policy.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import type { Endpoint } from './endpoint.ts'
import type { Policy } from './model.ts'
import { type Connection, endsOf, type Side, type Verdict } from './verdict.ts'

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
  return [
    policyFor('egress', egress, connection),
    policyFor('ingress', ingress, connection),
  ].filter((policy) => policy !== undefined)
}

function policyFor(
  direction: Direction,
  side: Side,
  connection: Connection,
): JsonObject | undefined {
  const [subject, peer] = endsOf(connection, direction)
  if (side.kind !== 'isolated' || subject.kind !== 'pod') return undefined
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
      podSelector: subjectsOf(pod, side.by),
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

/**
 * Pods with these labels that one of the policies isolates already: whoever else a new policy
 * selected would be closed by it.
 */
function subjectsOf(pod: Pod, isolating: readonly Policy[]): JsonObject {
  const isPlain = ({ subjects }: Policy): boolean =>
    subjects.every(({ of }) => of === 'pod' || of === 'namespace-name')
  const closing = isolating.find(isPlain) ?? isolating[0]
  const lasting = new Map(lastingOf(pod))
  const matchExpressions = (closing?.subjects ?? [])
    .filter(({ of, key }) => of === 'pod' && !lasting.has(key))
    .map(({ key, operator, values }) => ({
      key,
      operator,
      ...(values.length > 0 ? { values } : {}),
    }))
  return { ...selectorOf(pod), ...(matchExpressions.length > 0 ? { matchExpressions } : {}) }
}

const lastingOf = ({ labels }: Pod): readonly (readonly [string, string])[] =>
  [...labels].filter(([key]) => !passing.includes(key)).sort()

function selectorOf(pod: Pod): JsonObject {
  const lasting = lastingOf(pod)
  return lasting.length === 0 ? {} : { matchLabels: Object.fromEntries(lasting) }
}

function nameOf(direction: Direction, pod: Pod, peer: Endpoint): string {
  const way = direction === 'ingress' ? 'from' : 'to'
  const other = peer.kind === 'pod' ? podKey(peer.pod) : formatAddress(peer.address)
  const name = `${pod.name}-${way}-${other}`.replaceAll(/[^a-z0-9-]+/g, '-')
  return `allow-${name}`.slice(0, nameCharactersMax).replace(/-+$/, '')
}
