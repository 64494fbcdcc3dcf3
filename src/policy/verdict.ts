import type { Direction } from '../cluster/network-policy.ts'
import { podKey } from '../cluster/pod.ts'
import type { PolicyPort, Transport } from '../cluster/policy-port.ts'
import { type Endpoint, isOwnNode } from './endpoint.ts'
import type { Cluster, Peer, Policy, Rule } from './model.ts'
import { isMatchingPeer } from './peer.ts'
import { policiesOf } from './select.ts'

/** What begins a connection; replies follow its verdict (P35). */
export type Connection = {
  readonly from: Endpoint
  readonly to: Endpoint
} & (
  | { readonly protocol: Transport; readonly port: number }
  /** Echo requests of either family; errors and neighbour discovery pass always (P37). */
  | { readonly protocol: 'ICMP' }
)

export type Verdict = {
  readonly isAllowed: boolean
  readonly egress: Side
  readonly ingress: Side
}

/** What one end has to say. */
export type Side =
  /** No policy has a say here. */
  | {
      readonly kind: 'open'
      readonly why: 'not-a-pod' | 'not-isolated' | 'own-node' | 'itself'
    }
  | { readonly kind: 'allowed'; readonly by: readonly Decider[] }
  | { readonly kind: 'denied'; readonly by: readonly Decider[] }
  /** Isolated, and no rule allows it. */
  | { readonly kind: 'isolated'; readonly by: readonly Policy[] }

export type Decider = { readonly policy: Policy; readonly rule: Rule }

/**
 * The reference: short, slow, and what every faster form is held against. Both ends have to agree,
 * and an end that is no pod imposes nothing (P13).
 */
export function verdict(cluster: Cluster, connection: Connection): Verdict {
  const egress = sideOf(cluster, connection, 'egress')
  const ingress = sideOf(cluster, connection, 'ingress')
  return { isAllowed: isPassing(egress) && isPassing(ingress), egress, ingress }
}

export const isPassing = ({ kind }: Side): boolean => kind === 'open' || kind === 'allowed'

function sideOf(cluster: Cluster, connection: Connection, direction: Direction): Side {
  const [subject, peer] = endsOf(connection, direction)
  if (subject.kind !== 'pod') return { kind: 'open', why: 'not-a-pod' }
  if (peer.kind === 'pod' && podKey(peer.pod) === podKey(subject.pod))
    return { kind: 'open', why: 'itself' } // P34
  if (direction === 'ingress' && peer.kind === 'node' && isOwnNode(subject.pod, peer))
    return { kind: 'open', why: 'own-node' } // P30
  const policies = policiesOf(cluster, subject.pod)
  const matching = (action: Rule['action']): readonly Decider[] =>
    policies.flatMap((policy) =>
      policy.rules
        .filter((rule) => rule.direction === direction && rule.action === action)
        .filter((rule) => matches(rule, connection, cluster))
        .map((rule) => ({ policy, rule })),
    )
  const denied = matching('deny')
  if (denied.length > 0) return { kind: 'denied', by: denied }
  const isolating = policies.filter(({ isolates }) => isolates[direction])
  if (isolating.length === 0) return { kind: 'open', why: 'not-isolated' }
  const allowed = matching('allow')
  return allowed.length > 0 ? { kind: 'allowed', by: allowed } : { kind: 'isolated', by: isolating }
}

/** The end that the direction is seen from, and the other one. */
export const endsOf = (
  { from, to }: Connection,
  direction: Direction,
): readonly [Endpoint, Endpoint] => (direction === 'ingress' ? [to, from] : [from, to])

/** One of the peers, and one of the ports on it (P15). */
const matches = (rule: Rule, connection: Connection, cluster: Cluster): boolean =>
  rule.peers.some(
    (peer) =>
      isMatchingPeer(peer, ...endsOf(connection, rule.direction), cluster) &&
      (!rule.ports || rule.ports.some((port) => isPort(port, connection, rule.direction, peer))),
  )

/**
 * Always the destination's port (P18). A name is the destination pod's own word for a number, so it
 * means nothing of an address (P20), and a pod may use one for several protocols (P19).
 */
function isPort(port: PolicyPort, connection: Connection, direction: Direction, peer: Peer) {
  const { to } = connection
  if (connection.protocol === 'ICMP' || port.protocol !== connection.protocol) return false
  switch (port.kind) {
    case 'all':
      return true
    case 'range':
      return port.first <= connection.port && connection.port <= port.last
    case 'name':
      if (to.kind !== 'pod' || (direction === 'egress' && peer.kind === 'block')) return false
      return to.pod.ports.some(
        (declared) =>
          declared.name === port.name &&
          declared.protocol === connection.protocol &&
          declared.port === connection.port,
      )
  }
}
