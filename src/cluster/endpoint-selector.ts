import { allOf, type Field, refuse } from './field.ts'
import { type LabelRequirement, readLabelSelector } from './label-selector.ts'

/** A condition on a pod's labels, its namespace's labels or name, or its service account's name. */
export type EndpointRequirement = LabelRequirement & {
  readonly of: 'pod' | 'namespace' | 'namespace-name' | 'service-account'
}

/** All of them hold; of none, every pod of every namespace. */
export type EndpointSelector = readonly EndpointRequirement[]

const namespaceKey = 'io.kubernetes.pod.namespace'
const namespaceLabelPrefix = 'io.cilium.k8s.namespace.labels.'
const serviceAccountKey = 'io.cilium.k8s.policy.serviceaccount'
const clusterKey = 'io.cilium.k8s.policy.cluster'
/** Where Cilium may have a label from; of a pod it is always Kubernetes. */
const podSources = ['k8s', 'any']

/** A selector of a CiliumNetworkPolicy: keys may begin with their source, as in "k8s:app". */
export function readEndpointSelector(field: Field): EndpointSelector | undefined {
  const selector = readLabelSelector(field)
  return selector && allOf(selector.map((requirement) => readSource(field, requirement)))
}

function readSource(field: Field, requirement: LabelRequirement): EndpointRequirement | undefined {
  const colon = requirement.key.indexOf(':')
  const source = colon < 0 ? 'any' : requirement.key.slice(0, colon)
  const key = requirement.key.slice(colon + 1)
  const there = { ...field, value: requirement.key }
  if (source === 'reserved') return refuse(there, 'an entity, in fromEntities or toEntities')
  if (!podSources.includes(source)) return refuse(there, 'labels of source k8s or any')
  if (key === clusterKey) return refuse(there, 'no name of a cluster')
  if (key === namespaceKey) return { ...requirement, key, of: 'namespace-name' }
  if (key === serviceAccountKey) return { ...requirement, key, of: 'service-account' }
  if (key.startsWith(namespaceLabelPrefix))
    return { ...requirement, key: key.slice(namespaceLabelPrefix.length), of: 'namespace' }
  return { ...requirement, key, of: 'pod' }
}
