import { listed } from '../base/listed.ts'
import { decodeCiliumPolicy } from '../cluster/decode-cilium-policy.ts'
import { decodeNetworkPolicy } from '../cluster/decode-network-policy.ts'
import { decodeNode } from '../cluster/decode-node.ts'
import { decodePod } from '../cluster/decode-pod.ts'
import { decodeService } from '../cluster/decode-service.ts'
import type { Decoded, FieldProblem } from '../cluster/field.ts'
import { at, fieldOf, isObject, type JsonObject, shown, textOf } from '../cluster/json-value.ts'
import { decodeNamespace, type Namespace } from '../cluster/namespace.ts'
import type { ClusterNode } from '../cluster/node.ts'
import { explainFileProblem } from '../cluster/nodes-file.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import type { Service } from '../cluster/service.ts'
import { fromCiliumPolicy } from './from-cilium-policy.ts'
import { fromNetworkPolicy } from './from-network-policy.ts'
import type { Cluster, Policy } from './model.ts'
import { type Slip, slipsOf } from './slips.ts'

/** One object, and where it stands: "policies/api.yaml, document 2". */
export type Manifest = { readonly place: string; readonly object: unknown }

export type ObjectProblem = FieldProblem & {
  readonly place: string
  /** "NetworkPolicy shop/api", as far as it is known. */
  readonly object: string
}

export type Gathered = {
  readonly cluster: Cluster
  readonly problems: readonly ObjectProblem[]
  /** What an API server takes, and is likely not meant; seen before it is read. */
  readonly slips: readonly Slip[]
  /** Where an object was met, by kind and name: "NetworkPolicy shop/api". */
  readonly places: ReadonlyMap<string, string>
  /** What was left out on purpose, for people. */
  readonly notes: readonly string[]
}

/** "a.yaml, document 2, NetworkPolicy shop/api: spec.policyTypes[0] is …; accepted: …" */
export const explainObjectProblem = (problem: ObjectProblem): string =>
  `${problem.place}, ${problem.object}: ${explainFileProblem(problem)}` +
  (problem.kind === 'refused' ? '; Tulle does no more: what it would allow is not allowed' : '')

type Parts = {
  readonly namespaces: Map<string, Namespace>
  readonly pods: Pod[]
  readonly nodes: ClusterNode[]
  readonly services: Service[]
  readonly policies: Policy[]
  readonly problems: ObjectProblem[]
  readonly slips: Slip[]
  readonly skipped: Map<string, number>
  /** Where an object was met first, by kind and name. */
  readonly places: Map<string, string>
}

/** The cluster that manifests describe. Lists are opened; kinds that say nothing are left out. */
export function fromObjects(manifests: readonly Manifest[]): Gathered {
  const gathering = new Gathering()
  for (const manifest of manifests) gathering.add(manifest)
  return gathering.done()
}

/** Reads one object after the other, so that nobody has to hold all of a cluster's at a time. */
export class Gathering {
  readonly #parts: Parts = {
    namespaces: new Map(),
    pods: [],
    nodes: [],
    services: [],
    policies: [],
    problems: [],
    slips: [],
    skipped: new Map(),
    places: new Map(),
  }

  add(manifest: Manifest): void {
    for (const one of opened(manifest)) readManifest(one, this.#parts)
  }

  /**
   * An object that an API server has, beneath all that were added: one of the same kind and name
   * hides it. What can't be read of it is refused, as the server did take it.
   */
  addBeneath(manifest: Manifest): void {
    const { object } = manifest
    if (this.#parts.places.has(nameOf(object, textOf(fieldOf(object, 'kind')) ?? ''))) return
    const before = this.#parts.problems.length
    readManifest(manifest, this.#parts)
    const problems = this.#parts.problems.splice(before)
    for (const problem of problems) this.#parts.problems.push({ ...problem, kind: 'refused' })
  }

  done(): Gathered {
    const { namespaces, pods, nodes, services, policies, ...rest } = this.#parts
    const cluster = { namespaces, pods, nodes, services, policies }
    const { problems, slips, places } = rest
    return { cluster, problems, slips, places, notes: notesOf(this.#parts) }
  }
}

/** The items of a `List`; those of a `PodList` bear no kind of their own. */
function opened({ place, object }: Manifest): readonly Manifest[] {
  const kind = textOf(fieldOf(object, 'kind'))
  const items = fieldOf(object, 'items')
  if (kind?.endsWith('List') !== true || !Array.isArray(items)) return [{ place, object }]
  const itemKind = kind.slice(0, -'List'.length)
  const apiVersion = fieldOf(object, 'apiVersion')
  return items.map((item: unknown, index) => ({
    place: `${place}, items[${index}]`,
    object:
      itemKind !== '' && isObject(item) && fieldOf(item, 'kind') === undefined
        ? { ...item, kind: itemKind, apiVersion }
        : item,
  }))
}

function readManifest({ place, object }: Manifest, parts: Parts): void {
  if (object === null || object === undefined) return
  const kind = textOf(fieldOf(object, 'kind'))
  const apiVersion = textOf(fieldOf(object, 'apiVersion'))
  const report = (problems: readonly FieldProblem[], named: string): void => {
    for (const problem of problems) parts.problems.push({ ...problem, place, object: named })
  }
  if (!isObject(object) || kind === undefined || apiVersion === undefined) {
    const path = !isObject(object) ? 'the object' : kind === undefined ? 'kind' : 'apiVersion'
    const value = isObject(object) ? object[path] : object
    const found = value === undefined ? 'absent' : shown(value)
    const accepted = 'a Kubernetes object with apiVersion and kind'
    report([{ kind: 'wrong', path, found, accepted }], kind ?? 'no kind')
    return
  }
  const named = nameOf(object, kind)
  const take = <Value>({ value, problems }: Decoded<Value>): Value | undefined => {
    report(problems, named)
    const first = parts.places.get(named)
    if (first === undefined) parts.places.set(named, place)
    else {
      const accepted = `another name than in ${first}`
      report([{ kind: 'wrong', path: 'metadata.name', found: named, accepted }], named)
    }
    return value
  }
  readKind(`${apiVersion} ${kind}`, object, take, parts)
}

const nameOf = (object: unknown, kind: string): string => {
  const name = textOf(at(object, 'metadata', 'name')) ?? '?'
  const namespace = textOf(at(object, 'metadata', 'namespace')) ?? 'default'
  return isClusterWide(kind) ? `${kind} ${name}` : `${kind} ${namespace}/${name}`
}

const isClusterWide = (kind: string): boolean => kind === 'Namespace' || kind === 'Node'

type Take = <Value>(decoded: Decoded<Value>) => Value | undefined

function readKind(kind: string, object: JsonObject, take: Take, parts: Parts): void {
  switch (kind) {
    case 'v1 Namespace': {
      const namespace = take(decodeNamespace(object))
      if (namespace) parts.namespaces.set(namespace.name, namespace)
      return
    }
    case 'v1 Pod': {
      const pod = take(decodePod(object))
      if (pod) parts.pods.push(pod)
      return
    }
    case 'v1 Node': {
      const { node } = decodeNode(object, { flannelCompat: false })
      if (node) parts.nodes.push(node)
      return
    }
    case 'v1 Service': {
      const service = take(decodeService(object))
      if (service) parts.services.push(service)
      return
    }
    case 'networking.k8s.io/v1 NetworkPolicy': {
      parts.slips.push(...slipsOf(object))
      const policy = take(decodeNetworkPolicy(object))
      if (policy) parts.policies.push(fromNetworkPolicy(policy))
      return
    }
    case 'cilium.io/v2 CiliumNetworkPolicy': {
      const policy = take(decodeCiliumPolicy(object))
      if (policy) parts.policies.push(...fromCiliumPolicy(policy))
      return
    }
    default:
      parts.skipped.set(kind, (parts.skipped.get(kind) ?? 0) + 1)
  }
}

function notesOf({ namespaces, pods, skipped }: Parts): readonly string[] {
  const others = [...skipped].map(([kind, count]) =>
    /Policy$/.test(kind)
      ? `${count} of kind ${kind} left out: Tulle does not do such policies`
      : `${count} of kind ${kind} left out: it says nothing of policies`,
  )
  const done = pods.filter(({ isDone }) => isDone).map(podKey)
  const bare = pods.filter(({ isDone, addresses }) => !isDone && addresses.length === 0).map(podKey)
  const unknown = [...new Set(pods.map(({ namespace }) => namespace))]
    .filter((name) => !namespaces.has(name))
    .sort()
  return [
    ...others.sort(),
    ...noteOf(done, 'left out: their containers have ended (status.phase)'),
    ...noteOf(bare, 'left out: they have no address (status.podIP, status.podIPs)'),
    ...(unknown.length === 0
      ? []
      : [`namespaces without a manifest have their name for a label alone: ${listed(unknown)}`]),
  ]
}

const noteOf = (pods: readonly string[], why: string): readonly string[] =>
  pods.length === 0 ? [] : [`pods ${listed([...pods].sort())} ${why}`]
