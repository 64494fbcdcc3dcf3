import type { Direction } from '../cluster/network-policy.ts'
import { podKey } from '../cluster/pod.ts'
import type { PolicyPort, Transport } from '../cluster/policy-port.ts'
import { type Endpoint, isOwnNode } from './endpoint.ts'
import type { Cluster, Peer, Policy, Rule } from './model.ts'
import { isMatchingPeer } from './peer.ts'
import { policiesOf } from './select.ts'

/** Verdicts between known endpoints, made ready: for all pairs, where `verdict` is for one. */
export type Prepared = {
  /** `from` and `to` are places in the list of endpoints. */
  readonly isAllowed: (from: number, to: number, protocol: Transport, port: number) => boolean
}

/** What one endpoint's policies say of one direction. */
type PreparedSide = {
  readonly isIsolated: boolean
  readonly denies: readonly PreparedRule[]
  readonly allows: readonly PreparedRule[]
}

type PreparedRule = {
  /** By endpoint: 1 a peer, 2 a peer by its address alone, which has no names of ports. */
  readonly peers: Uint8Array
  readonly ports?: readonly PolicyPort[]
}

const byAddress = 2
const open: PreparedSide = { isIsolated: false, denies: [], allows: [] }

/**
 * A policy is asked once who its subjects are and once a rule who its peers are; a verdict then
 * costs as much as the two pods have rules.
 */
export function prepare(cluster: Cluster, endpoints: readonly Endpoint[]): Prepared {
  const byNamespace = Map.groupBy(cluster.policies, ({ namespace }) => namespace)
  const peersOf = peersOnce(cluster, endpoints)
  const sideOf = (subject: Endpoint, direction: Direction): PreparedSide => {
    if (subject.kind !== 'pod') return open
    const policies = policiesOf(
      { ...cluster, policies: byNamespace.get(subject.pod.namespace) ?? [] },
      subject.pod,
    )
    const ready = (action: Rule['action']) =>
      rulesOf(policies, direction, action).map(
        (rule): PreparedRule => ({
          peers: peersOf(rule, subject),
          ...(rule.ports ? { ports: rule.ports } : {}),
        }),
      )
    const isIsolated = policies.some(({ isolates }) => isolates[direction])
    return { isIsolated, denies: ready('deny'), allows: isIsolated ? ready('allow') : [] }
  }
  const egress = endpoints.map((endpoint) => sideOf(endpoint, 'egress'))
  const ingress = endpoints.map((endpoint) => sideOf(endpoint, 'ingress'))
  return {
    isAllowed: (from, to, protocol, port) => {
      const [source, target] = [endpoints[from], endpoints[to]]
      const [out, into] = [egress[from], ingress[to]]
      if (!source || !target || !out || !into) throw new Error(`Cannot find ${from} and ${to}`)
      if (isOneself(source, target)) return true
      const asked = { target, protocol, port }
      if (!isPassing(out, to, 'egress', asked)) return false
      const isProbe = target.kind === 'pod' && source.kind === 'node'
      if (isProbe && isOwnNode(target.pod, source)) return true
      return isPassing(into, from, 'ingress', asked)
    },
  }
}

const rulesOf = (policies: readonly Policy[], direction: Direction, action: Rule['action']) =>
  policies.flatMap(({ rules }) =>
    rules.filter((rule) => rule.direction === direction && rule.action === action),
  )

const isOneself = (source: Endpoint, target: Endpoint): boolean =>
  source.kind === 'pod' &&
  target.kind === 'pod' &&
  (source.pod === target.pod || podKey(source.pod) === podKey(target.pod))

/** Equal peers are looked for once; those about nodes once for each subject. */
function peersOnce(cluster: Cluster, endpoints: readonly Endpoint[]) {
  const known = new Map<Peer, Uint8Array>()
  const equal = new Map<string, Uint8Array>()
  const find = (peer: Peer, subject: Endpoint): Uint8Array =>
    Uint8Array.from(endpoints, (other) => {
      if (!isMatchingPeer(peer, subject, other, cluster)) return 0
      return peer.kind === 'block' ? byAddress : 1
    })
  const of = (peer: Peer, subject: Endpoint): Uint8Array => {
    if (peer.kind === 'own-node' || peer.kind === 'other-nodes') return find(peer, subject)
    const key = peer.kind === 'pods' ? JSON.stringify(peer.selector) : undefined
    const found = known.get(peer) ?? (key === undefined ? undefined : equal.get(key))
    const peers = found ?? find(peer, subject)
    known.set(peer, peers)
    if (key !== undefined) equal.set(key, peers)
    return peers
  }
  const unions = new Map<Rule, Uint8Array>()
  return (rule: Rule, subject: Endpoint): Uint8Array => {
    const { peers } = rule
    const isShared = peers.every(({ kind }) => kind !== 'own-node' && kind !== 'other-nodes')
    const union = unions.get(rule)
    if (union) return union
    const all = peers.map((peer) => of(peer, subject))
    const made = all.length === 1 && all[0] ? all[0] : unionOf(all, endpoints.length)
    if (isShared) unions.set(rule, made)
    return made
  }
}

/** A peer by more than its address, where any of them is. */
function unionOf(all: readonly Uint8Array[], length: number): Uint8Array {
  const union = new Uint8Array(length)
  for (const peers of all)
    for (const [at, kind] of peers.entries()) if (kind !== 0 && union[at] !== 1) union[at] = kind
  return union
}

type Asked = { readonly target: Endpoint; readonly protocol: Transport; readonly port: number }

function isPassing(
  { isIsolated, denies, allows }: PreparedSide,
  peer: number,
  direction: Direction,
  asked: Asked,
): boolean {
  for (const rule of denies) if (matches(rule, peer, direction, asked)) return false
  if (!isIsolated) return true
  for (const rule of allows) if (matches(rule, peer, direction, asked)) return true
  return false
}

function matches(
  { peers, ports }: PreparedRule,
  peer: number,
  direction: Direction,
  asked: Asked,
): boolean {
  const kind = peers[peer]
  if (kind === 0 || kind === undefined) return false
  if (!ports) return true
  const hasNames = direction === 'ingress' || kind !== byAddress
  for (const port of ports) if (isPort(port, asked, hasNames)) return true
  return false
}

function isPort(port: PolicyPort, asked: Asked, hasNames: boolean): boolean {
  if (port.protocol !== asked.protocol) return false
  if (port.kind === 'all') return true
  if (port.kind === 'range') return port.first <= asked.port && asked.port <= port.last
  const { target } = asked
  if (!hasNames || target.kind !== 'pod') return false
  for (const declared of target.pod.ports)
    if (
      declared.name === port.name &&
      declared.protocol === asked.protocol &&
      declared.port === asked.port
    )
      return true
  return false
}
