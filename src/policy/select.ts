import type { EndpointRequirement, EndpointSelector } from '../cluster/endpoint-selector.ts'
import { type Namespace, namespaceOf } from '../cluster/namespace.ts'
import type { Pod } from '../cluster/pod.ts'
import type { PolicyMode } from '../cluster/policy-mode.ts'
import type { Cluster, Policy } from './model.ts'

/**
 * Whether policies know a pod at all: one that is done may have lost its address to another (P43),
 * and one with the node's addresses is the node (P33).
 */
export const isSelectable = ({ isDone, isHostNetwork }: Pod): boolean => !isDone && !isHostNetwork

/** Those that are enforced: of the others a verdict knows nothing. */
export const policiesOf = (cluster: Cluster, pod: Pod): readonly Policy[] =>
  cluster.policies.filter(
    (policy) => modeOf(policy, cluster) === 'enforce' && selects(policy.subjects, pod, cluster),
  )

/** Its own word, else its namespace's. */
export const modeOf = (
  { mode, namespace }: Policy,
  { namespaces }: Pick<Cluster, 'namespaces'>,
): PolicyMode => mode ?? namespaces.get(namespace)?.mode ?? 'enforce'

export function selects(
  selector: EndpointSelector,
  pod: Pod,
  { namespaces }: Pick<Cluster, 'namespaces'>,
): boolean {
  if (!isSelectable(pod)) return false
  const namespace = namespaces.get(pod.namespace) ?? namespaceOf(pod.namespace)
  return selector.every((requirement) => isHolding(requirement, pod, namespace))
}

/** What a selector asks of a pod itself. */
type Selectable = Pick<Pod, 'labels' | 'serviceAccount'>

export const isHolding = (
  requirement: EndpointRequirement,
  pod: Selectable,
  namespace: Namespace,
): boolean => holds(requirement, labelOf(requirement, pod, namespace))

function labelOf({ of, key }: EndpointRequirement, pod: Selectable, namespace: Namespace) {
  switch (of) {
    case 'pod':
      return pod.labels.get(key)
    case 'namespace':
      return namespace.labels.get(key)
    case 'namespace-name':
      return namespace.name
    case 'service-account':
      return pod.serviceAccount
  }
}

/** NotIn and DoesNotExist hold of what has no such key (P16). */
function holds({ operator, values }: EndpointRequirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
  }
}
