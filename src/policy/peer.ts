import { contains } from '../base/prefix.ts'
import { type Endpoint, isOwnNode } from './endpoint.ts'
import type { Cluster, Peer } from './model.ts'
import { selects } from './select.ts'

/** Whether a rule about `subject` means `other` by one of its peers. */
export function isMatchingPeer(
  peer: Peer,
  subject: Endpoint,
  other: Endpoint,
  cluster: Pick<Cluster, 'namespaces'>,
): boolean {
  switch (peer.kind) {
    case 'anybody':
      return true
    case 'pods':
      return other.kind === 'pod' && selects(peer.selector, other.pod, cluster)
    case 'own-node':
    case 'other-nodes': {
      if (other.kind !== 'node' || subject.kind !== 'pod') return false
      return isOwnNode(subject.pod, other) === (peer.kind === 'own-node')
    }
    case 'block':
      if (peer.of === 'world' && other.kind !== 'world') return false
      return (
        contains(peer.cidr, other.address) &&
        !peer.except.some((part) => contains(part, other.address))
      )
  }
}
