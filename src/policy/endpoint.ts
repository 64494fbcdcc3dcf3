import { type Address, sameAddress } from '../base/address.ts'
import type { Pod } from '../cluster/pod.ts'
import type { Cluster } from './model.ts'

/** One end of a connection, with the address that its packets bear. */
export type Endpoint =
  | { readonly kind: 'pod'; readonly pod: Pod; readonly address: Address }
  /** A node, or a pod of its host network; `node` is absent where nobody says which one. */
  | { readonly kind: 'node'; readonly node?: string; readonly address: Address }
  /** Outside the cluster. */
  | { readonly kind: 'world'; readonly address: Address }

/** As itself, or as its node (P33). */
export function endpointOf(pod: Pod, address: Address): Endpoint {
  if (!pod.isHostNetwork) return { kind: 'pod', pod, address }
  return { kind: 'node', address, ...(pod.node === undefined ? {} : { node: pod.node }) }
}

/** Whether a node is the one that a pod runs on, by name or by address. */
export const isOwnNode = (pod: Pod, { node, address }: Endpoint & { kind: 'node' }): boolean =>
  (node !== undefined && node === pod.node) ||
  pod.hostAddresses.some((one) => sameAddress(one, address))

/** Whose address it is: a living pod's, a node's, or nobody's here. */
export function endpointAt(cluster: Cluster, address: Address): Endpoint {
  const isAt = (addresses: readonly Address[]) => addresses.some((one) => sameAddress(one, address))
  const pod = cluster.pods.find((one) => !one.isDone && !one.isHostNetwork && isAt(one.addresses))
  if (pod) return { kind: 'pod', pod, address }
  const node = cluster.nodes.find(({ addresses }) => isAt(addresses))
  if (node) return { kind: 'node', node: node.name, address }
  const guest = cluster.pods.find((one) => isAt(one.hostAddresses) || hasHostAddress(one, isAt))
  if (!guest) return { kind: 'world', address }
  return { kind: 'node', address, ...(guest.node === undefined ? {} : { node: guest.node }) }
}

const hasHostAddress = (
  { isHostNetwork, isDone, addresses }: Pod,
  isAt: (addresses: readonly Address[]) => boolean,
): boolean => isHostNetwork && !isDone && isAt(addresses)
