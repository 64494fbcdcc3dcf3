import { formatAddress } from '../../src/base/address.ts'
import { podKey } from '../../src/cluster/pod.ts'
import { compile, emptyMemo, type Memo, type PolicyState } from '../../src/policy/compile.ts'
import { type Judgement, judge, partyOf } from '../../src/policy/judge.ts'
import { livingPods } from '../../src/policy/matrix.ts'
import type { Cluster } from '../../src/policy/model.ts'
import type { Program } from '../../src/policy/program.ts'
import { protocolNumbers } from '../../src/policy/spans.ts'
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

export function judgeBy(program: Program, connection: Connection): Judgement {
  const { from, to } = connection
  const asked =
    connection.protocol === 'ICMP'
      ? { protocol: icmp, port: 0 }
      : { protocol: protocolNumbers[connection.protocol], port: connection.port }
  return judge(partyOf(program, from.address), partyOf(program, to.address), asked)
}

/** A connection passes where every node that it crosses lets it. */
export function passesNodes(programs: readonly Program[], connection: Connection): boolean {
  return programs.every((program) => judgeBy(program, connection).isAllowed)
}
