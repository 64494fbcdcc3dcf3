import {
  type Address,
  addressBits,
  addressKey,
  type Family,
  formatAddress,
} from '../base/address.ts'
import { boundsOf, contains, type Prefix } from '../base/prefix.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import type { Distinctions } from '../wire/nft/distinctions.ts'
import { type Endpoint, endpointOf } from './endpoint.ts'
import type { Cluster, Peer } from './model.ts'
import { isSelectable, selects } from './select.ts'

/** One node, as its kernel and the API tell of it. */
export type NodeFacts = {
  readonly cluster: Cluster
  /** Its name; absent where nobody says. */
  readonly node?: string
  /** Every address of the node itself, whatever link it is on. */
  readonly localAddresses: readonly Address[]
  /** Addresses of pods that the kernel knows to be this node's. */
  readonly policed: readonly Address[]
}

/**
 * Addresses that neither the kernel's table nor any policy tells apart: what holds of one of them
 * holds of all.
 */
export type End = {
  /** The first of them. */
  readonly endpoint: Endpoint
  /** A second one, where there is one. */
  readonly other?: Endpoint
  readonly members: readonly EndMember[]
  readonly isLocalPod: boolean
  readonly isOwnNode: boolean
  /** The node's own, and the API tells of it nowhere: to policies it may as well be outside. */
  readonly isUntold: boolean
}

export type EndMember = {
  /** "shop/api", "node a", or "" */
  readonly name: string
  /** "10.244.1.5", or "10.0.0.0-10.255.255.255" */
  readonly addresses: string
}

/** A pod whose node nobody tells, of whom it is known that it is here. */
const thisNode = '(this node)'

/** Addresses that are no end of a connection through this node: this host's alone, multicast. */
const unreachable: readonly Prefix[] = [
  { address: { family: 4, value: 0n }, bits: 8 },
  { address: { family: 4, value: 127n << 24n }, bits: 8 },
  { address: { family: 4, value: 224n << 24n }, bits: 3 },
  { address: { family: 6, value: 0n }, bits: 127 },
  { address: { family: 6, value: 0xffn << 120n }, bits: 8 },
]

/** Every address there is, as few ends as tell all differences. */
export function endsOfNode(facts: NodeFacts, kernel: Distinctions): readonly End[] {
  const known = knownEndpoints(facts)
  const blocks = blocksOf(facts.cluster)
  const signatureOf = intentSignature(facts.cluster, blocks)
  const groups = new Map<string, { place: Known; first: Address; last: Address }[]>()
  for (const family of [4, 6] as const)
    for (const { first, last } of rangesOf(family, known, blocks, kernel)) {
      const place = known.get(addressKey(first)) ?? world(first)
      const key = `${family} ${placeKey(place)}|${signatureOf(place)}|${kernel.signatureOf(first)}`
      const group = groups.get(key)
      if (group) group.push({ place, first, last })
      else groups.set(key, [{ place, first, last }])
    }
  return [...groups.values()].flatMap((group): readonly End[] => {
    const [one, two] = group
    if (!one) return []
    const { place } = one
    const other = two?.place.endpoint
    return [{ ...place, members: membersOf(group), ...(other ? { other } : {}) }]
  })
}

type Known = Pick<End, 'endpoint' | 'isLocalPod' | 'isOwnNode' | 'isUntold'>

const world = (address: Address): Known => ({
  endpoint: { kind: 'world', address },
  isLocalPod: false,
  isOwnNode: false,
  isUntold: false,
})

const placeKey = ({ endpoint, isLocalPod, isOwnNode, isUntold }: Known): string =>
  [endpoint.kind, isLocalPod, isOwnNode, isUntold].join()

/** By `addressKey`. Who is named first here is who an address belongs to (P44). */
function knownEndpoints(facts: NodeFacts): ReadonlyMap<string, Known> {
  const { cluster, localAddresses, node = thisNode } = facts
  const told = [
    ...podsOf({ ...facts, node }),
    ...cluster.nodes.flatMap(({ name, addresses }) =>
      addresses.map((address) => nodeAt(address, name)),
    ),
    ...cluster.pods.flatMap(({ node: name, hostAddresses, addresses, isHostNetwork, isDone }) =>
      [...hostAddresses, ...(isHostNetwork && !isDone ? addresses : [])].map((address) =>
        nodeAt(address, name),
      ),
    ),
  ].map((one) => (isNamed(one, node) ? { ...one, isOwnNode: true } : one))
  const known = new Map(
    told.toReversed().map((one) => [addressKey(one.endpoint.address), one] as const),
  )
  for (const address of localAddresses) {
    const isUntold = known.get(addressKey(address))?.endpoint.kind !== 'node'
    known.set(addressKey(address), { ...nodeAt(address, node), isOwnNode: true, isUntold })
  }
  return known
}

const isNamed = ({ endpoint }: Known, node: string): boolean =>
  endpoint.kind === 'node' && endpoint.node === node

const nodeAt = (address: Address, name: string | undefined): Known => ({
  endpoint: { kind: 'node', address, ...(name === undefined ? {} : { node: name }) },
  isLocalPod: false,
  isOwnNode: false,
  isUntold: false,
})

/** Living pods, and behind them those that have ended and are on record still. */
function podsOf({ cluster, policed, node }: NodeFacts): readonly Known[] {
  const isPoliced = new Set(policed.map(addressKey))
  const living = cluster.pods.filter(isSelectable)
  const ended = cluster.pods.filter(({ isDone, isHostNetwork }) => isDone && !isHostNetwork)
  return [...living, ...ended].flatMap((pod) =>
    pod.addresses.flatMap((address): readonly Known[] => {
      const isOnRecord = isPoliced.has(addressKey(address))
      const isLocalPod = isOnRecord || (pod.node === node && !pod.isDone)
      if (pod.isDone && !isOnRecord) return []
      const told = isLocalPod ? { ...pod, isDone: false, ...(node ? { node } : {}) } : pod
      const endpoint = endpointOf(told, address)
      return [{ endpoint, isLocalPod, isOwnNode: false, isUntold: false }]
    }),
  )
}

/** Runs of addresses that are told apart by nobody within themselves. */
function* rangesOf(
  family: Family,
  known: ReadonlyMap<string, Known>,
  blocks: readonly Prefix[],
  { addresses }: Distinctions,
): Generator<{ readonly first: Address; readonly last: Address }> {
  const end = 1n << BigInt(addressBits(family))
  const cuts = new Set<bigint>([0n, ...addresses[family]])
  for (const { endpoint } of known.values()) {
    const { address } = endpoint
    if (address.family === family) cuts.add(address.value).add(address.value + 1n)
  }
  for (const prefix of [...blocks, ...unreachable].filter((one) => one.address.family === family)) {
    const { first, last } = boundsOf(prefix)
    cuts.add(first.value).add(last.value + 1n)
  }
  const starts = [...cuts].filter((cut) => cut < end).sort((left, right) => (left < right ? -1 : 1))
  for (const [index, start] of starts.entries()) {
    const first = { family, value: start }
    const last = { family, value: (starts[index + 1] ?? end) - 1n }
    if (!unreachable.some((prefix) => contains(prefix, first))) yield { first, last }
  }
}

const blocksOf = ({ policies }: Cluster): readonly Prefix[] => {
  const peers = policies.flatMap(({ rules }) => rules.flatMap((rule) => rule.peers))
  const all = peers.flatMap((peer) => (peer.kind === 'block' ? [peer.cidr, ...peer.except] : []))
  const key = ({ address, bits }: Prefix) => `${addressKey(address)}/${bits}`
  return [...new Map(all.map((prefix) => [key(prefix), prefix])).values()]
}

/** Equal for endpoints that no policy tells apart. */
function intentSignature(cluster: Cluster, blocks: readonly Prefix[]): (place: Known) => string {
  const selectors = [
    ...new Map(
      cluster.policies
        .flatMap(({ subjects, rules }) => [
          subjects,
          ...rules.flatMap(({ peers }) => selected(peers)),
        ])
        .map((selector) => [JSON.stringify(selector), selector]),
    ).values(),
  ]
  const names = new Set(
    cluster.policies.flatMap(({ rules }) =>
      rules.flatMap(({ ports = [] }) =>
        ports.flatMap((port) => (port.kind === 'name' ? [port.name] : [])),
      ),
    ),
  )
  const memo = new Map<string, string>()
  const ofPod = (pod: Pod): string => {
    const key = JSON.stringify([pod.namespace, [...pod.labels], pod.serviceAccount])
    const selected =
      memo.get(key) ?? selectors.map((one) => (selects(one, pod, cluster) ? '1' : '0')).join('')
    memo.set(key, selected)
    const named = pod.ports.filter(({ name }) => name !== undefined && names.has(name))
    const ports = named.map(({ name, protocol, port }) => `${name} ${protocol} ${port}`).sort()
    return `${pod.namespace} ${selected} ${ports.join()}`
  }
  return ({ endpoint }) => {
    const { address } = endpoint
    const inside = blocks.flatMap((prefix, index) => (contains(prefix, address) ? [index] : []))
    return `${endpoint.kind === 'pod' ? ofPod(endpoint.pod) : ''} ${inside.join()}`
  }
}

const selected = (peers: readonly Peer[]) =>
  peers.flatMap((peer) => (peer.kind === 'pods' ? [peer.selector] : []))

/** Neighbouring runs of one kind are told as one. */
function membersOf(
  group: readonly { place: Known; first: Address; last: Address }[],
): readonly EndMember[] {
  const members: EndMember[] = []
  let open: { first: Address; last: Address } | undefined
  const close = (): void => {
    if (open) members.push({ name: '', addresses: rangeText(open) })
    open = undefined
  }
  for (const { place, first, last } of group) {
    const { endpoint } = place
    if (endpoint.kind === 'world') {
      if (open && open.last.value + 1n === first.value) open = { first: open.first, last }
      else {
        close()
        open = { first, last }
      }
      continue
    }
    const name = endpoint.kind === 'pod' ? podKey(endpoint.pod) : `node ${endpoint.node ?? '?'}`
    members.push({ name, addresses: formatAddress(first) })
  }
  close()
  return members
}

const rangeText = ({ first, last }: { first: Address; last: Address }): string =>
  first.value === last.value
    ? formatAddress(first)
    : `${formatAddress(first)}-${formatAddress(last)}`
