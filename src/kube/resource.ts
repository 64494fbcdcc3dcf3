import { at, textOf } from '../cluster/json-value.ts'
import type { Query } from './client.ts'

/** A collection of objects as the API has it: group "" is core/v1. */
export type Resource = {
  readonly group: string
  readonly version: string
  /** Plural, lower case: "nodes". */
  readonly plural: string
}

export const nodes: Resource = { group: '', version: 'v1', plural: 'nodes' }
export const pods: Resource = { group: '', version: 'v1', plural: 'pods' }
export const namespaces: Resource = { group: '', version: 'v1', plural: 'namespaces' }
export const networkPolicies: Resource = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'networkpolicies',
}
export const ciliumNetworkPolicies: Resource = {
  group: 'cilium.io',
  version: 'v2',
  plural: 'ciliumnetworkpolicies',
}
export const events: Resource = { group: 'events.k8s.io', version: 'v1', plural: 'events' }
export const accessReviews: Resource = {
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'selfsubjectaccessreviews',
}
export const services: Resource = { group: '', version: 'v1', plural: 'services' }

/** Which objects of a collection: of one namespace, or those that a selector chooses. */
export type Selection = {
  readonly namespace?: string
  /** "spec.nodeName=node-1" */
  readonly fieldSelector?: string
  readonly labelSelector?: string
}

export type ObjectName = {
  readonly namespace?: string
  readonly name?: string
  readonly subresource?: string
}

/** "/api/v1/nodes/node-1/status", "/apis/events.k8s.io/v1/namespaces/default/events" */
export function pathOf(
  { group, version, plural }: Resource,
  { namespace, name, subresource }: ObjectName = {},
): string {
  const root = group === '' ? ['api', version] : ['apis', group, version]
  const within = namespace === undefined ? [] : ['namespaces', namespace]
  const object = [name, subresource].filter((word) => word !== undefined)
  return ['', ...root, ...within, plural, ...object].map(encodeURIComponent).join('/')
}

export const selectorsOf = ({ fieldSelector, labelSelector }: Selection): Query => ({
  fieldSelector,
  labelSelector,
})

/** "name" or "namespace/name"; undefined of what has no name. */
export function keyOf(object: unknown): string | undefined {
  const name = textOf(at(object, 'metadata', 'name'))
  const namespace = textOf(at(object, 'metadata', 'namespace'))
  if (name === undefined || name === '') return undefined
  return namespace === undefined ? name : `${namespace}/${name}`
}
