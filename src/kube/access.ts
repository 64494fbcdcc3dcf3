import type { V1SelfSubjectAccessReview } from '@kubernetes/client-node'
import { at } from '../cluster/json-value.ts'
import type { KubeClient } from './client.ts'
import { isRefusal } from './refusal.ts'
import {
  accessReviews,
  ciliumNetworkPolicies,
  events,
  namespaces,
  networkPolicies,
  nodes,
  pathOf,
  pods,
  type Resource,
} from './resource.ts'

/** One right that RBAC must give. */
export type Need = {
  readonly verb: 'get' | 'list' | 'watch' | 'create' | 'patch'
  readonly resource: Resource
  readonly subresource?: string
  readonly namespace?: string
  /** What doesn't work without it. */
  readonly why: string
}

/** Where Events about things without a namespace go (events.k8s.io validation). */
export const eventNamespace = 'default'

export const need = {
  getNode: { verb: 'get', resource: nodes, why: "this node's conditions are compared" },
  listNodes: { verb: 'list', resource: nodes, why: 'routes lead to every node' },
  watchNodes: { verb: 'watch', resource: nodes, why: 'routes follow every node' },
  patchNodeStatus: {
    verb: 'patch',
    resource: nodes,
    subresource: 'status',
    why: "this node's conditions and Flannel's annotations are written",
  },
  listPods: { verb: 'list', resource: pods, why: 'policies select pods' },
  watchPods: { verb: 'watch', resource: pods, why: 'policies follow pods' },
  listNamespaces: { verb: 'list', resource: namespaces, why: 'policies select namespaces' },
  watchNamespaces: { verb: 'watch', resource: namespaces, why: 'policies follow namespaces' },
  listNetworkPolicies: { verb: 'list', resource: networkPolicies, why: 'policies are enforced' },
  watchNetworkPolicies: { verb: 'watch', resource: networkPolicies, why: 'policies are enforced' },
  listCiliumPolicies: {
    verb: 'list',
    resource: ciliumNetworkPolicies,
    why: 'CiliumNetworkPolicies are enforced',
  },
  watchCiliumPolicies: {
    verb: 'watch',
    resource: ciliumNetworkPolicies,
    why: 'CiliumNetworkPolicies are enforced',
  },
  createEvents: {
    verb: 'create',
    resource: events,
    namespace: eventNamespace,
    why: 'findings are reported',
  },
  patchEvents: {
    verb: 'patch',
    resource: events,
    namespace: eventNamespace,
    why: 'findings that repeat are counted',
  },
  createPolicyEvents: {
    verb: 'create',
    resource: events,
    why: 'what is wrong with a policy is reported beside it',
  },
} as const satisfies Readonly<Record<string, Need>>

/** Without these the agent can't do its work. */
export const neededAtStart: readonly Need[] = [
  need.getNode,
  need.listNodes,
  need.watchNodes,
  need.patchNodeStatus,
]
/** As `neededAtStart`, for an agent that enforces policies. */
export const neededForPolicy: readonly Need[] = [
  need.listPods,
  need.watchPods,
  need.listNamespaces,
  need.watchNamespaces,
  need.listNetworkPolicies,
  need.watchNetworkPolicies,
  need.listCiliumPolicies,
  need.watchCiliumPolicies,
]
/** Without these it works, and says what is missing. */
export const neededBesides: readonly Need[] = [need.createEvents, need.patchEvents]
/** Events about policies are in their namespaces. */
export const neededForPolicyBesides: readonly Need[] = [need.createPolicyEvents]

/**
 * Which needs the API server denies us, in the order given, by one SelfSubjectAccessReview each.
 * Everybody may ask that (ClusterRole system:basic-user).
 */
export async function deniedNeeds(
  client: KubeClient,
  needs: readonly Need[],
): Promise<readonly Need[]> {
  const answers = await Promise.all(needs.map((one) => isAllowed(client, one)))
  return needs.filter((_, index) => answers[index] === false)
}

async function isAllowed(client: KubeClient, given: Need): Promise<boolean> {
  const { verb, resource, subresource, namespace } = given
  const review: Pick<V1SelfSubjectAccessReview, 'apiVersion' | 'kind' | 'spec'> = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: {
      resourceAttributes: {
        verb,
        group: resource.group,
        resource: resource.plural,
        ...(subresource === undefined ? {} : { subresource }),
        ...(namespace === undefined ? {} : { namespace }),
      },
    },
  }
  const answer = await client.call({ method: 'POST', path: pathOf(accessReviews), body: review })
  return at(answer, 'status', 'allowed') === true
}

/** A ClusterRole's rule: `{ apiGroups: [""], resources: ["nodes/status"], verbs: ["patch"] }`. */
export function ruleOf({ verb, resource, subresource }: Need): string {
  const name = subresource === undefined ? resource.plural : `${resource.plural}/${subresource}`
  return `{ apiGroups: ["${resource.group}"], resources: ["${name}"], verbs: ["${verb}"] }`
}

/** Where conf/tulle.yaml gives it. */
const roleOf = ({ namespace }: Need): string =>
  namespace === undefined
    ? 'the ClusterRole "tulle"'
    : `the Role "tulle-events" of namespace ${namespace}`

/** "Not allowed: watch nodes (routes follow every node), create events (findings are reported)" */
export const explainDenied = (denied: readonly Need[]): string =>
  `Not allowed: ${denied
    .map(({ verb, resource: { plural }, subresource, why }) => {
      const name = subresource === undefined ? plural : `${plural}/${subresource}`
      return `${verb} ${name} (${why})`
    })
    .join(', ')}`

/** The rules to add, by the role that has them. */
export function remedyOf(denied: readonly Need[]): string {
  const roles = Map.groupBy(denied, roleOf)
  const rules = [...roles].map(([role, needs]) => `${role}: ${needs.map(ruleOf).join(', ')}`)
  return `apply the manifest again, or add to ${rules.join('; and to ')}`
}

/** RBAC lacks a rule: the text names it. */
export class AccessMissing extends Error {
  override name = 'AccessMissing'
  readonly need: Need

  constructor(missing: Need, cause: Error) {
    super(`${cause.message}; ${remedyOf([missing])}`, { cause })
    this.need = missing
  }
}

/** Runs a call that needs a right; a 403 becomes AccessMissing. */
export async function needing<Answer>(right: Need, call: () => Promise<Answer>): Promise<Answer> {
  try {
    return await call()
  } catch (fault) {
    throw isRefusal(fault, 403) ? new AccessMissing(right, fault) : fault
  }
}
