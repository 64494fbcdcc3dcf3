import { addressKey, type Family } from '../base/address.ts'
import type { Direction } from '../cluster/network-policy.ts'
import { type Transport, transportNumbers, transports } from '../cluster/policy-port.ts'
import { type Distinctions, distinctionsOf } from '../wire/nft/distinctions.ts'
import type { ListedRule, ListedTable } from '../wire/nft/listed-table.ts'
import { machineOf } from '../wire/nft/machine.ts'
import type { Endpoint } from './endpoint.ts'
import { type End, type EndMember, endsOfNode, type NodeFacts } from './ends.ts'
import { type KernelRun, type KernelVerdict, kernelVerdict, staleMark } from './kernel-verdict.ts'
import type { Cluster, Policy } from './model.ts'
import { policiesOf } from './select.ts'
import { type Connection, isPassing, type Side, verdict } from './verdict.ts'

/** A flow on which the kernel does not do what the policies say. */
export type Difference = {
  /** Of whose policies it is: egress of `from`, or ingress of `to`. */
  readonly direction: Direction
  readonly from: readonly EndMember[]
  readonly to: readonly EndMember[]
  /** "IP protocol 0 and the like" for those without names; "any". */
  readonly protocol: string
  readonly firstPort: number
  readonly lastPort: number
  readonly family: Family
  readonly kernel: KernelVerdict['verdict']
  readonly policy: 'allows' | 'denies'
  /** The kernel's rule that decided. */
  readonly rule: string | undefined
  /** One of the flows that it stands for. */
  readonly example: Connection
}

export type Comparison = {
  readonly differences: readonly Difference[]
  /** Kinds of flows that were compared; each stands for all that nobody tells apart. */
  readonly flows: number
  /** Rules that can't be followed, so that what comes to them is not known. */
  readonly unknown: readonly string[]
  /** Flows on which both agree, as many as were asked for: of TCP, for probes. */
  readonly agreed: readonly { readonly connection: Connection; readonly isAllowed: boolean }[]
}

export type Extent = {
  /** More are not looked for. */
  readonly differencesMax: number
  readonly agreedMax: number
}

/**
 * Holds the kernel's table against the policies, over everything that one of them can tell apart:
 * every pod of this node with every peer, protocol and port, in both directions; a connection's
 * first packet, later ones and replies.
 */
export function compareWithKernel(
  facts: NodeFacts,
  table: ListedTable,
  extent: Extent,
): Comparison {
  const kernel = distinctionsOf(table)
  const protocolsOf = (family: Family) =>
    kernel.protocolsBeside([...transportsByNumber.keys(), icmp[family]])
  const run: Run = {
    facts,
    kernel,
    machine: machineOf(table),
    isLocal: new Set(facts.localAddresses.map(addressKey)),
    staleMark: staleMark(table),
    unknown: new Set(),
    protocols: { 4: protocolsOf(4), 6: protocolsOf(6) },
    policies: new Map(),
  }
  const ends = endsOfNode(facts, kernel)
  const differences: Difference[] = []
  const agreed: { connection: Connection; isAllowed: boolean }[] = []
  let flows = 0
  for (const from of ends)
    for (const to of ends)
      for (const pair of pairsOf(from, to)) {
        if (differences.length >= extent.differencesMax) break
        const judged = judgedFlows(pair, run)
        flows += judged.length
        differences.push(...merged(judged))
        const same = judged.find(
          ({ difference, connection }) =>
            !difference && connection.protocol === 'TCP' && connection.port > 0,
        )
        if (same && agreed.length < extent.agreedMax) agreed.push(same)
      }
  return { differences, flows, agreed, unknown: [...run.unknown] }
}

type Run = KernelRun & {
  readonly facts: NodeFacts
  readonly kernel: Distinctions
  readonly protocols: Readonly<Record<Family, readonly number[]>>
  readonly policies: Map<End, readonly Policy[]>
}

type Pair = {
  readonly from: End
  readonly to: End
  readonly source: Endpoint
  readonly target: Endpoint
}

/** Two of one kind are told apart from one with itself (P34). */
function pairsOf(from: End, to: End): readonly Pair[] {
  const isHere = from.isLocalPod || to.isLocalPod
  if (!isHere || from.endpoint.address.family !== to.endpoint.address.family) return []
  const pair = { from, to, source: from.endpoint, target: to.endpoint }
  if (from !== to) return [pair]
  return [pair, ...(to.other ? [{ ...pair, target: to.other }] : [])]
}

type Judged = {
  readonly protocol: number
  readonly connection: Connection
  readonly isAllowed: boolean
  readonly difference?: Difference
}

const transportsByNumber = new Map<number, Transport>(
  transports.map((transport) => [transportNumbers[transport], transport]),
)
const icmp = { 4: 1, 6: 58 } as const
const protocolNames = new Map<number, string>([
  ...transportsByNumber,
  [icmp[4], 'ICMP'],
  [icmp[6], 'ICMPv6'],
])

function judgedFlows(pair: Pair, run: Run): readonly Judged[] {
  const { source, target } = pair
  const cluster = clusterFor(pair, run)
  const { family } = source.address
  const ends = [source.address, target.address]
  return run.protocols[family].flatMap((protocol) => {
    const ports = startsOf([
      ...run.kernel.portsBetween(ends, protocol),
      ...intentPorts(cluster, target, transportsByNumber.get(protocol)),
    ])
    return ports.flatMap((firstPort, index) => {
      const lastPort = (ports[index + 1] ?? portsEnd) - 1
      return judgedFlow({ pair, cluster, protocol, firstPort, lastPort }, run) ?? []
    })
  })
}

const portsEnd = 65_536

const startsOf = (cuts: readonly number[]): readonly number[] =>
  [...new Set([0, ...cuts])].filter((cut) => cut < portsEnd).sort((left, right) => left - right)

type Flow = Pick<Difference, 'firstPort' | 'lastPort'> & {
  readonly pair: Pair
  readonly cluster: Cluster
  readonly protocol: number
}

/** Undefined where nobody can tell. */
function judgedFlow(flow: Flow, run: Run): Judged | undefined {
  const { pair, cluster, protocol, firstPort, lastPort } = flow
  const { from, to, source, target } = pair
  const transport = transportsByNumber.get(protocol)
  const ends = { from: source, to: target }
  const connection: Connection = transport
    ? { ...ends, protocol: transport, port: firstPort }
    : { ...ends, protocol: 'ICMP' }
  const sides = sidesOf(cluster, connection, pair)
  const isAllowed = sides.every(({ side }) => isPassing(side))
  if (to.isUntold && isAllowed !== isOutsideAllowed(cluster, connection)) return undefined
  const found = kernelVerdict({ source, target, protocol, port: firstPort }, run)
  if (!found) return undefined
  const judged = { protocol, connection, isAllowed }
  if (found.verdict === (isAllowed ? 'passes' : 'drops')) return judged
  const { by } = found
  const difference: Difference = {
    direction: directionOf(pair, sides, found.trace),
    from: from.members,
    to: to.members,
    protocol: protocolNames.get(protocol) ?? `IP protocol ${protocol} and the like`,
    firstPort,
    lastPort,
    family: source.address.family,
    kernel: found.verdict,
    policy: isAllowed ? 'allows' : 'denies',
    rule: by && `${by.chain}: ${by.comment ?? `handle ${by.handle}`}`,
    example: connection,
  }
  return { ...judged, difference }
}

/** What the policies say if nobody knows that the address is the node's. */
function isOutsideAllowed(cluster: Cluster, connection: Connection): boolean {
  const to: Endpoint = { kind: 'world', address: connection.to.address }
  return isPassing(verdict(cluster, { ...connection, to }).egress)
}

/** With the policies of the two ends alone: others have no say. */
function clusterFor({ from, to }: Pair, { facts, policies }: Run): Cluster {
  const of = (end: End): readonly Policy[] => {
    if (!end.isLocalPod || end.endpoint.kind !== 'pod') return []
    const known = policies.get(end) ?? policiesOf(facts.cluster, end.endpoint.pod)
    policies.set(end, known)
    return known
  }
  return { ...facts.cluster, policies: [...new Set([...of(from), ...of(to)])] }
}

const intentPorts = (
  { policies }: Cluster,
  target: Endpoint,
  transport: Transport | undefined,
): readonly number[] =>
  policies.flatMap(({ rules }) =>
    rules.flatMap(({ ports = [] }) =>
      ports.flatMap((port): readonly number[] => {
        if (port.protocol !== transport) return []
        if (port.kind === 'range') return [port.first, port.last + 1]
        if (port.kind === 'all' || target.kind !== 'pod') return []
        const declared = target.pod.ports.filter(({ name }) => name === port.name)
        return declared.flatMap((one) => [one.port, one.port + 1])
      }),
    ),
  )

type JudgedSide = { readonly direction: Direction; readonly side: Side }

/** Another node's pod is its own node's to judge. */
function sidesOf(
  cluster: Cluster,
  connection: Connection,
  { from, to }: Pair,
): readonly JudgedSide[] {
  const { egress, ingress } = verdict(cluster, connection)
  return [
    ...(from.isLocalPod ? [{ direction: 'egress' as const, side: egress }] : []),
    ...(to.isLocalPod ? [{ direction: 'ingress' as const, side: ingress }] : []),
  ]
}

/** Who refuses: by the policies, else by the chains that the packet came through last. */
function directionOf(
  { from }: Pair,
  sides: readonly JudgedSide[],
  trace: readonly ListedRule[],
): Direction {
  const refusing = sides.find(({ side }) => !isPassing(side))
  if (refusing) return refusing.direction
  if (sides.length === 1) return sides[0]?.direction ?? 'egress'
  const last = trace.findLast(({ chain }) => chain === 'egress' || chain === 'ingress')?.chain
  return last === 'ingress' || (!from.isLocalPod && last === undefined) ? 'ingress' : 'egress'
}

/** Neighbouring ports that fare alike are told once, and so are all protocols. */
function merged(judged: readonly Judged[]): readonly Difference[] {
  const kept: Difference[] = []
  for (const { difference } of judged) {
    if (!difference) continue
    const before = kept.at(-1)
    if (before && isSame(before, difference) && before.lastPort + 1 === difference.firstPort)
      kept[kept.length - 1] = { ...before, lastPort: difference.lastPort }
    else kept.push(difference)
  }
  const [first] = kept
  const isWhole = ({ firstPort, lastPort }: Difference) => firstPort === 0 && lastPort === 65_535
  const protocols = new Set(judged.map(({ protocol }) => protocol))
  const isAny = kept.every(
    (one) => first && isWhole(one) && isSame({ ...one, protocol: '' }, { ...first, protocol: '' }),
  )
  return first && isAny && kept.length === protocols.size ? [{ ...first, protocol: 'any' }] : kept
}

const isSame = (one: Difference, other: Difference): boolean =>
  (['protocol', 'kernel', 'policy', 'rule', 'direction'] as const).every(
    (key) => one[key] === other[key],
  )
