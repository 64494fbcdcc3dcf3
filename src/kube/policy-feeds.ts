import { isDeepStrictEqual } from 'node:util'
import { decodeCiliumPolicy } from '../cluster/decode-cilium-policy.ts'
import { decodeNetworkPolicy } from '../cluster/decode-network-policy.ts'
import { decodePod } from '../cluster/decode-pod.ts'
import type { Decoded, FieldProblem } from '../cluster/field.ts'
import { at, textOf } from '../cluster/json-value.ts'
import { decodeNamespace, type Namespace } from '../cluster/namespace.ts'
import type { Pod } from '../cluster/pod.ts'
import { fromCiliumPolicy } from '../policy/from-cilium-policy.ts'
import { fromNetworkPolicy } from '../policy/from-network-policy.ts'
import type { Policy } from '../policy/model.ts'
import type { KubeClient } from './client.ts'
import { podGist } from './gist.ts'
import type { Patience } from './list-watch.ts'
import type { Reflected, ReflectorOptions } from './reflected.ts'
import { Reflector } from './reflector.ts'
import { ciliumNetworkPolicies, namespaces, networkPolicies, pods } from './resource.ts'
import { Sharing } from './sharing.ts'
import type { Time } from './time.ts'

// What policies are made of: all of the cluster, each object trimmed while it is read.

export type FeedOptions<Item> = {
  readonly client: KubeClient
  readonly onNews: (news: Reflected<Item>) => void
  /** As of the reflector: everything up to this version has been told. */
  readonly onVersion?: (version: string) => void
  /** Each failed try to reach the API. */
  readonly onProblem?: (problem: Error) => void
  /** As of the reflector: something works, for the first time or again. */
  readonly onWell?: () => void
  readonly time?: Time
  readonly patience?: Patience
}

/** A policy as far as it can be read, and what is wrong with the rest of it. */
export type ReadPolicy = {
  /** One for each spec; none if nobody can tell whom it selects. */
  readonly policies: readonly Policy[]
  readonly problems: readonly FieldProblem[]
  readonly uid: string
}

type Kind<Item> = Pick<ReflectorOptions<Item>, 'resource' | 'select' | 'gistOf' | 'absence'>

const feedOf = <Item>(kind: Kind<Item>, options: FeedOptions<Item>): Reflector<Item> =>
  new Reflector<Item>({ ...options, ...kind, isSame: isDeepStrictEqual })

/**
 * Most of what a cluster's Pods tell is of readiness, restarts and the like: of that, nothing is
 * parsed. A pod whose labels can't be read whole is known by those that can.
 */
export function feedPods(options: FeedOptions<Pod>): Reflector<Pod> {
  const sharing = new Sharing()
  const select = (object: unknown): Pod | undefined => {
    const pod = decodePod(object).value
    return pod && sharing.podOf(pod)
  }
  return feedOf({ resource: pods, select, gistOf: podGist }, options)
}

export const feedNamespaces = (options: FeedOptions<Namespace>): Reflector<Namespace> =>
  feedOf({ resource: namespaces, select: (object) => decodeNamespace(object).value }, options)

export const feedNetworkPolicies = (options: FeedOptions<ReadPolicy>): Reflector<ReadPolicy> => {
  const select = (object: unknown): ReadPolicy =>
    readPolicy(object, decodeNetworkPolicy(object), (policy) => [fromNetworkPolicy(policy)])
  return feedOf({ resource: networkPolicies, select }, options)
}

/** None in a cluster that does not serve them. */
export const feedCiliumPolicies = (options: FeedOptions<ReadPolicy>): Reflector<ReadPolicy> => {
  const select = (object: unknown): ReadPolicy =>
    readPolicy(object, decodeCiliumPolicy(object), fromCiliumPolicy)
  return feedOf({ resource: ciliumNetworkPolicies, select, absence: 'allowed' }, options)
}

const readPolicy = <Value>(
  object: unknown,
  { value, problems }: Decoded<Value>,
  read: (value: Value) => readonly Policy[],
): ReadPolicy => ({
  policies: value === undefined ? [] : read(value),
  problems,
  uid: textOf(at(object, 'metadata', 'uid')) ?? '',
})
