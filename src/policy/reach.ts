import { type Address, type Family, formatAddress, parseAddress } from '../base/address.ts'
import { podKey } from '../cluster/pod.ts'
import { compile, emptyMemo, type LocalPod, type PolicyState } from './compile.ts'
import { compareText, livingPods } from './matrix.ts'
import type { Cluster } from './model.ts'
import { Partition } from './partition.ts'
import { nodeIdentity, ownNodeIdentity, type Profile, type Program, type Spans } from './program.ts'
import { everySpan, intersection, nothing, remembered, spansKey } from './spans.ts'
import { type Peer, spansToward } from './spans-toward.ts'

/** Who may ask what of whom in the whole cluster, on every port of every protocol. */
export type Reachability = {
  readonly groups: readonly Group[]
  /**
   * By the places of two groups: what a member of the first may ask of one of the second, where the
   * two are not the same pod. Between families nothing is ever asked.
   */
  readonly allowed: readonly (readonly Spans[])[]
}

/** Addresses that no verdict tells apart. */
export type Group = {
  /**
   * A node is two things: to the pods that run on it their own node, to all others another one, and
   * the verdict between a pod and a node stands under the fitting one.
   */
  readonly kind: 'pods' | 'own-node' | 'other-node' | 'world'
  readonly family: Family
  /** "shop/api", a node's address, or the ends of a range of addresses: "192.0.2.0-192.0.2.255". */
  readonly members: readonly string[]
}

/**
 * By algebra, not by trying: profiles are compiled as if all pods were one node's, endpoints that
 * look the same to all of them are one group, and of two groups each end's spans are intersected.
 * Addresses of pods and nodes are left in the ranges of the world that they lie in.
 */
export function reach(cluster: Cluster): Reachability {
  const state = wholeState(cluster)
  const program = compile(state, emptyMemo())
  const partition = new Partition([...program.profiles.values()])
  const parties = groupsOf([
    ...[...state.local].flatMap(([text, local]) => podParty(program, partition, text, local)),
    ...[...program.identities].flatMap(([text, identity]) =>
      identity === nodeIdentity ? nodeParties(partition, text) : [],
    ),
    ...partition.ranges().map(({ first, last, sign }) => ({
      kind: 'world' as const,
      member: `${formatAddress(first)}-${formatAddress(last)}`,
      sign,
      peer: { identity: undefined, isOwnNode: false, address: first },
    })),
  ])
  return {
    groups: parties.map(({ kind, family, members }) => ({ kind, family, members })),
    allowed: pairsOf(parties),
  }
}

/** All pods as if one nameless node had them, and no node were its own. */
const wholeState = (cluster: Cluster): PolicyState => {
  const local = new Map<string, LocalPod>()
  for (const pod of livingPods(cluster)) {
    if (pod.isHostNetwork) continue
    for (const address of pod.addresses) {
      const text = formatAddress(address)
      if (!local.has(text)) local.set(text, { address, pod })
    }
  }
  return {
    nodeName: '',
    pods: new Map(cluster.pods.map((pod) => [podKey(pod), pod])),
    namespaces: cluster.namespaces,
    nodes: new Map(cluster.nodes.map((node) => [node.name, node])),
    policies: Map.groupBy(cluster.policies, ({ kind, namespace, name }) =>
      [kind, namespace, name].join('/'),
    ),
    local,
  }
}

type Party = {
  readonly kind: Group['kind']
  readonly member: string
  /** Equal where no range of addresses in any profile tells two addresses apart. */
  readonly sign: string
  readonly peer: Peer
  readonly egress?: Profile | undefined
  readonly ingress?: Profile | undefined
}

function podParty(
  { identities, subjects, profiles }: Program,
  partition: Partition,
  text: string,
  { address, pod }: LocalPod,
): readonly Party[] {
  if (!pod) return []
  const { egress = '', ingress = '' } = subjects.get(text) ?? {}
  return [
    {
      kind: 'pods',
      member: podKey(pod),
      sign: partition.signOf(address),
      peer: { identity: identities.get(text), isOwnNode: false, address },
      egress: profiles.get(egress),
      ingress: profiles.get(ingress),
    },
  ]
}

function nodeParties(partition: Partition, text: string): readonly Party[] {
  const address = parseAddress(text)
  if (!address) return []
  const sign = partition.signOf(address)
  const own = { identity: ownNodeIdentity, isOwnNode: true, address }
  const other = { identity: nodeIdentity, isOwnNode: false, address }
  return [
    { kind: 'own-node', member: text, sign, peer: own },
    { kind: 'other-node', member: text, sign, peer: other },
  ]
}

type Grouped = Party & { readonly family: Family; readonly members: readonly string[] }

function groupsOf(parties: readonly Party[]): readonly Grouped[] {
  const byLook = Map.groupBy(parties, ({ kind, sign, peer, egress, ingress }) =>
    [kind, familyOf(peer), sign, peer.identity, egress?.name, ingress?.name].join('\n'),
  )
  return [...byLook.values()].flatMap((alike) => {
    const [first] = alike
    if (!first) return []
    const members = alike.map(({ member }) => member).sort(compareText)
    return [{ ...first, family: familyOf(first.peer), members }]
  })
}

const familyOf = ({ address }: { readonly address: Address }): Family => address.family

/** Each profile is asked once about each group; equal spans are one object. */
function pairsOf(groups: readonly Grouped[]): readonly (readonly Spans[])[] {
  const known = new Map<string, Spans>()
  const once = (spans: Spans): Spans => {
    const key = spansKey(spans)
    const first = known.get(key) ?? spans
    known.set(key, first)
    return first
  }
  const toward = (profile: Profile): readonly Spans[] =>
    groups.map(({ peer }) => once(spansToward(profile, peer)))
  const byProfile = new Map<Profile, readonly Spans[]>()
  const rowOf = (profile: Profile | undefined): readonly Spans[] | undefined => {
    if (!profile) return undefined
    const row = byProfile.get(profile) ?? toward(profile)
    byProfile.set(profile, row)
    return row
  }
  const out = groups.map(({ egress }) => rowOf(egress))
  const into = groups.map(({ ingress }) => rowOf(ingress))
  const both = remembered((left, right) => once(intersection(left, right)))
  return groups.map((from, source) =>
    groups.map((to, target) => {
      if (from.family !== to.family) return nothing
      return both(out[source]?.[target] ?? everySpan, into[target]?.[source] ?? everySpan)
    }),
  )
}
