import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fieldOf, isObject, textOf } from '../cluster/json-value.ts'
import { type Need, ruleOf } from '../kube/access.ts'
import { findAccess } from '../kube/access-source.ts'
import { KubeClient } from '../kube/client.ts'
import { CredentialsRefusal } from '../kube/credentials.ts'
import { defaultPatience, listAll } from '../kube/list-watch.ts'
import { isRefusal, KubeRefusal, KubeUnreachable } from '../kube/refusal.ts'
import {
  ciliumNetworkPolicies,
  namespaces,
  networkPolicies,
  nodes,
  pods,
  type Resource,
  services,
} from '../kube/resource.ts'
import type { Manifest } from '../policy/from-objects.ts'
import { type Desk, InputFault, type Option, textOf as optionOf } from './command.ts'

export const kubeconfigOption: Option = {
  type: 'string',
  value: 'FILE',
  text: 'how to reach the cluster (default: KUBECONFIG, ~/.kube/config, or this pod)',
}

/** Where an object stands that no file has. */
export const clusterPlace = 'the cluster'

/** A kind of object that says something of policies. */
export type LiveKind = {
  readonly resource: Resource
  readonly kind: string
  /** What can't be told without it. */
  readonly why: string
  /** A resource that a cluster need not have. */
  readonly isOptional?: true
}

export const liveKinds = {
  namespaces: { resource: namespaces, kind: 'Namespace', why: 'policies select namespaces' },
  pods: { resource: pods, kind: 'Pod', why: 'policies select pods' },
  nodes: { resource: nodes, kind: 'Node', why: "a pod's own node always reaches it" },
  services: { resource: services, kind: 'Service', why: 'policies judge behind Services' },
  networkPolicies: {
    resource: networkPolicies,
    kind: 'NetworkPolicy',
    why: 'they are what is asked for',
  },
  ciliumPolicies: {
    resource: ciliumNetworkPolicies,
    kind: 'CiliumNetworkPolicy',
    why: 'they are what is asked for',
    isOptional: true,
  },
} as const satisfies Readonly<Record<string, LiveKind>>

/** A list whose pages expired half-way is begun anew so often: what was read stays read. */
const listsMax = 3

/**
 * The cluster of `--kubeconfig`, else the one that kubectl would speak to. Its faults are
 * InputFaults, in words; nothing is asked before the first read.
 */
export class LiveCluster {
  readonly client: KubeClient
  readonly #stopping = new AbortController()

  constructor(desk: Desk) {
    try {
      this.client = new KubeClient(sourceOf(optionOf(desk.values, 'kubeconfig')))
      this.client.access()
    } catch (refusal) {
      throw faultOf(refusal)
    }
  }

  /** Every object of a kind, as a manifest would have it; an older one may come twice. */
  async read(kind: LiveKind, onManifest: (manifest: Manifest) => void): Promise<void> {
    const { client } = this
    const collection = { client, resource: kind.resource, selection: {} }
    const onObject = (object: unknown): void =>
      onManifest({ place: clusterPlace, object: named(object, kind) })
    for (let lists = 1; ; lists++)
      try {
        const { signal } = this.#stopping
        await listAll({ ...collection, patience: defaultPatience, signal }, { onObject })
        return
      } catch (refusal) {
        if (kind.isOptional && isRefusal(refusal, 404)) return
        if (!isRefusal(refusal, 410) || lists >= listsMax) throw faultOf(refusal, kind)
      }
  }

  close(): void {
    this.#stopping.abort()
    this.client.close()
  }
}

/** In kubectl's order. KUBECONFIG may name several files, of which kubectl makes one. */
function sourceOf(kubeconfig: string | undefined): ReturnType<typeof findAccess> {
  const { env: environment } = process
  const { KUBECONFIG = '' } = environment
  if (kubeconfig === undefined && KUBECONFIG.split(':').filter((one) => one !== '').length > 1)
    throw new CredentialsRefusal(
      `KUBECONFIG names several files (${KUBECONFIG}); name one with --kubeconfig`,
    )
  const usual = join(homedir(), '.kube', 'config')
  const isUsual = kubeconfig === undefined && KUBECONFIG === '' && existsSync(usual)
  return findAccess({ kubeconfig: isUsual ? usual : kubeconfig, environment })
}

/** Items of a list bear no kind of their own. */
const named = (object: unknown, { kind, resource }: LiveKind): unknown => {
  if (!isObject(object) || textOf(fieldOf(object, 'kind')) !== undefined) return object
  const { group, version } = resource
  return { ...object, kind, apiVersion: group === '' ? version : `${group}/${version}` }
}

/** What a person can do about it; other faults are no answers of an API server. */
export function faultOf(refusal: unknown, kind?: LiveKind): unknown {
  const isAnswer =
    refusal instanceof KubeRefusal ||
    refusal instanceof KubeUnreachable ||
    refusal instanceof CredentialsRefusal
  if (!isAnswer) return refusal
  return new InputFault(`${refusal.message}${adviceOf(refusal, kind)}`, { cause: refusal })
}

function adviceOf(refusal: Error, kind: LiveKind | undefined): string {
  if (refusal instanceof CredentialsRefusal) return '; or give manifests with --from DIR'
  if (isRefusal(refusal, 401))
    return '; the credentials of the kubeconfig are not good (any more): log in again'
  if (isRefusal(refusal, 403) && kind) {
    const right: Need = { verb: 'list', resource: kind.resource, why: kind.why }
    return `; needed, as ${kind.why}, in a ClusterRole of yours: ${ruleOf(right)}`
  }
  if (refusal instanceof KubeUnreachable)
    return '; see whether the API server of the kubeconfig is right and can be reached from here'
  return ''
}
