import { type Address, formatAddress, parseAddress } from '../../src/base/address.ts'
import { podKey } from '../../src/cluster/pod.ts'
import { transportNumbers, transports } from '../../src/cluster/policy-port.ts'
import { compile, emptyMemo, type Memo, type PolicyState } from '../../src/policy/compile.ts'
import { type Endpoint, endpointAt, endpointOf, isOwnNode } from '../../src/policy/endpoint.ts'
import { type Asked, type Judgement, judge, partyOf } from '../../src/policy/judge.ts'
import { livingPods } from '../../src/policy/matrix.ts'
import type { Cluster } from '../../src/policy/model.ts'
import type { Program } from '../../src/policy/program.ts'
import type { Group } from '../../src/policy/reach.ts'
import type { Connection } from '../../src/policy/verdict.ts'

// A cluster as each of its nodes sees it.

/** What the agent of a node would know: its living pods are on record there. */
export const stateOf = (cluster: Cluster, nodeName: string): PolicyState => ({
  nodeName,
  pods: new Map(cluster.pods.map((pod) => [podKey(pod), pod])),
  namespaces: cluster.namespaces,
  nodes: new Map(cluster.nodes.map((node) => [node.name, node])),
  policies: Map.groupBy(
    cluster.policies,
    ({ kind, namespace, name }) => `${kind} ${namespace}/${name}`,
  ),
  local: new Map(
    livingPods(cluster)
      .filter(({ node, isHostNetwork }) => node === nodeName && !isHostNetwork)
      .flatMap((pod) =>
        pod.addresses.map((address) => [formatAddress(address), { address, pod }] as const),
      ),
  ),
})

export const programOf = (cluster: Cluster, nodeName: string, memo: Memo = emptyMemo()): Program =>
  compile(stateOf(cluster, nodeName), memo)

/** A protocol that rules with ports never mean. */
const icmp = 1

export const portOf = (word: string, port: number): Asked => ({
  protocol: transports.flatMap((one) => (one === word ? transportNumbers[one] : []))[0] ?? icmp,
  port,
})

export function judgeBy(program: Program, connection: Connection): Judgement {
  const { from, to } = connection
  const asked = portOfConnection(connection)
  return judge(partyOf(program, from.address), partyOf(program, to.address), asked)
}

export const portOfConnection = (connection: Connection): Asked =>
  connection.protocol === 'ICMP' ? portOf('ICMP', 0) : portOf(connection.protocol, connection.port)

/** A connection passes where every node that it crosses lets it. */
export function passesNodes(programs: readonly Program[], connection: Connection): boolean {
  return programs.every((program) => judgeBy(program, connection).isAllowed)
}

const outside = ['192.0.2.7', '192.0.2.200', '10.0.0.9', '2001:db8::1']
const ofNodes = ['192.168.0.1', '192.168.0.2']
const asked = [
  ...[80, 81, 82].map((port) => ({ protocol: 'TCP', port }) as const),
  ...[80, 81].map((port) => ({ protocol: 'UDP', port }) as const),
  { protocol: 'SCTP', port: 80 } as const,
  { protocol: 'ICMP' } as const,
]

const endpointsOf = (cluster: Cluster): readonly Endpoint[] => [
  ...livingPods(cluster).flatMap((one) => one.addresses.map((address) => endpointOf(one, address))),
  ...[...outside, ...ofNodes].map((text) => {
    const address = parseAddress(text)
    if (!address) throw new Error(`Cannot read ${text}`)
    return endpointAt(cluster, address)
  }),
]

/** Every pair of one family, on every port that is worth asking for. */
export const connectionsOf = (cluster: Cluster): readonly Connection[] => {
  const endpoints = endpointsOf(cluster)
  return endpoints.flatMap((from) =>
    endpoints
      .filter((to) => to.address.family === from.address.family)
      .flatMap((to) => asked.map((port): Connection => ({ from, to, ...port }))),
  )
}

/** Whether a group of a reachability has an endpoint in it, as seen from the other end. */
export function isGroupOf(group: Group, end: Endpoint, other: Endpoint): boolean {
  const text = formatAddress(end.address)
  if (group.family !== end.address.family) return false
  switch (end.kind) {
    case 'pod':
      return group.kind === 'pods' && group.members.includes(podKey(end.pod))
    case 'node': {
      const isOwn = other.kind === 'pod' && isOwnNode(other.pod, end)
      return group.kind === (isOwn ? 'own-node' : 'other-node') && group.members.includes(text)
    }
    case 'world':
      return group.kind === 'world' && group.members.some((range) => isInRange(range, end.address))
  }
}

function isInRange(range: string, { family, value }: Address): boolean {
  const [first, last] = range.split('-').map(parseAddress)
  return first?.family === family && first.value <= value && value <= (last?.value ?? -1n)
}
