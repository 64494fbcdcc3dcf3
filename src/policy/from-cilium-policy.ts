import { unreachable } from '../base/unreachable.ts'
import type { CiliumPeer, CiliumPolicy, CiliumRule, Entity } from '../cluster/cilium-policy.ts'
import type { EndpointSelector } from '../cluster/endpoint-selector.ts'
import { inNamespace } from './from-network-policy.ts'
import type { Peer, Policy, Rule } from './model.ts'

/** One for each spec. */
export function fromCiliumPolicy(policy: CiliumPolicy): readonly Policy[] {
  const { namespace, name, mode, specs } = policy
  return specs.map(({ path, endpointSelector, isDefaultDeny, rules }) => ({
    kind: 'CiliumNetworkPolicy',
    namespace,
    name,
    path,
    ...(mode === undefined ? {} : { mode }),
    subjects: [...inNamespace(namespace), ...endpointSelector],
    isolates: isDefaultDeny,
    rules: rules.map((rule) => fromRule(rule, namespace)),
  }))
}

const anybody: Peer = { kind: 'anybody' }

/** A deny rule that could not be read whole denies everything in its direction. */
function fromRule(rule: CiliumRule, namespace: string): Rule {
  const { path, direction, action, isWhole, peers, ports } = rule
  if (action === 'deny' && !isWhole) return { path, direction, action, peers: [anybody] }
  return {
    path,
    direction,
    action,
    peers: peers?.flatMap((peer) => fromPeer(peer, namespace)) ?? [anybody],
    ...(ports ? { ports } : {}),
  }
}

function fromPeer(peer: CiliumPeer, namespace: string): readonly Peer[] {
  switch (peer.kind) {
    case 'endpoints':
      return [{ kind: 'pods', selector: placed(peer.selector, namespace) }]
    case 'block':
      return [{ ...peer, of: 'world' }]
    case 'entity':
      return fromEntity(peer.entity)
    default:
      return unreachable(peer)
  }
}

/** The policy's own namespace, unless the selector says anything of a namespace. */
function placed(selector: EndpointSelector, namespace: string): EndpointSelector {
  const isPlaced = selector.some(({ of }) => of === 'namespace' || of === 'namespace-name')
  return isPlaced ? selector : [...inNamespace(namespace), ...selector]
}

function fromEntity(entity: Entity): readonly Peer[] {
  switch (entity) {
    case 'all':
      return [anybody]
    case 'cluster':
      return [{ kind: 'pods', selector: [] }, { kind: 'own-node' }, { kind: 'other-nodes' }]
    case 'host':
      return [{ kind: 'own-node' }]
    case 'remote-node':
      return [{ kind: 'other-nodes' }]
    case 'world':
      return [worldOf(4), worldOf(6)]
    case 'world-ipv4':
      return [worldOf(4)]
    case 'world-ipv6':
      return [worldOf(6)]
    case 'none':
      return []
    default:
      return unreachable(entity)
  }
}

const worldOf = (family: 4 | 6): Peer => ({
  kind: 'block',
  of: 'world',
  cidr: { address: { family, value: 0n }, bits: 0 },
  except: [],
})
