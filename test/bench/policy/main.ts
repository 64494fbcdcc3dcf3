// What NetworkPolicies cost: ours, and iptables rulesets of Calico's and kube-router's shape, each
// on a node of its own, measured in turns. scripts/bench runs it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { endpointOf } from '../../../src/policy/endpoint.ts'
import { prepare } from '../../../src/policy/prepare.ts'
import { run } from '../../support/netns.ts'
import { Progress } from '../progress.ts'
import { median } from '../statistics.ts'
import type { AgentFigures } from './agent.ts'
import { calico, kubeRouter } from './iptables.ts'
import { BenchNode, type Enforcement, Iptables, Tulle } from './node.ts'
import { type Change, formatPolicyRun, isComplete, type PolicyRun, type Traffic } from './report.ts'
import { spreadWorld } from './world.ts'

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' } },
})
const plan = values.quick
  ? {
      sizes: [0, 10, 200],
      pods: 500,
      rounds: 3,
      trips: 500,
      connections: 200,
      changes: 20,
      slow: 2,
    }
  : {
      sizes: [0, 10, 1_000, 10_000],
      pods: 10_000,
      rounds: 15,
      trips: 3_000,
      connections: 1_500,
      changes: 200,
      slow: 5,
    }

const peers = [
  {
    name: 'tulle',
    on: (node: BenchNode, size: number) => Tulle.onePod(node.node, size, plan.pods),
  },
  { name: 'calico', on: (node: BenchNode, size: number) => new Iptables(node.node, calico, size) },
  {
    name: 'kube-router',
    on: (node: BenchNode, size: number) => new Iptables(node.node, kubeRouter, size),
  },
] as const

type Stand = Readonly<{ peer: string; size: number; node: BenchNode; enforcement: Enforcement }>

async function main(): Promise<PolicyRun> {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-bench-policy-'))
  const progress = new Progress(process.stderr, () => performance.now())
  const stands: Stand[] = []
  try {
    const traffic = compileTraffic(folder)
    for (const size of plan.sizes)
      for (const { name, on } of peers) {
        progress.begin(`policy: ${name} with ${size} policies`)
        const node = new BenchNode(traffic)
        try {
          stands.push({ peer: name, size, node, enforcement: on(node, size) })
        } catch (fault) {
          node.close()
          throw fault
        }
        await node.serve()
      }
    progress.begin(`policy: round trips and connections, ${plan.rounds} rounds`)
    const traffics = measureTraffic(stands, (round) => progress.update(`policy: round ${round}`))
    progress.begin('policy: one policy, one pod')
    const changes = stands.map(measureChanges)
    progress.begin('policy: all at once')
    const whole = measureWhole(folder)
    progress.begin('policy: an agent on the API of such a cluster')
    const agent = measureAgent()
    progress.close()
    const isQuick = values.quick === true
    return { pods: plan.pods, traffic: traffics, changes, ...whole, agent, isQuick }
  } finally {
    for (const { node, enforcement } of stands) {
      enforcement.close()
      node.close()
    }
    rmSync(folder, { recursive: true, force: true })
  }
}

function compileTraffic(folder: string): string {
  const program = join(folder, 'traffic')
  const source = fileURLToPath(new URL('traffic.c', import.meta.url))
  const done = run(['gcc', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source])
  if (done.code !== 0) throw new Error(`Cannot compile traffic.c: ${done.stderr}`)
  return program
}

/** In turns, so that what disturbs the machine disturbs all of them. */
function measureTraffic(
  stands: readonly Stand[],
  tell: (round: number) => void,
): readonly Traffic[] {
  const seen = stands.map(() => ({ trips: [] as number[], rates: [] as number[] }))
  for (let round = -1; round < plan.rounds; round++) {
    tell(round + 1)
    for (const [at, { node }] of stands.entries()) {
      const trip = node.roundTrip(plan.trips)
      const rate = node.connections(plan.connections)
      if (round < 0) continue // the first one warms up
      seen[at]?.trips.push(trip)
      seen[at]?.rates.push(rate)
    }
  }
  return stands.map(({ peer, size }, at) => ({
    ...{ peer, size },
    tripMs: median(seen[at]?.trips ?? []),
    connectionsPerSecond: median(seen[at]?.rates ?? []),
  }))
}

/** Of iptables a few: each takes as long as its ruleset is large. */
function measureChanges({ peer, size, enforcement }: Stand): Change {
  if (peer !== 'tulle' && size === 0) return { peer, size, policyMs: [], podMs: [] }
  const times = peer === 'tulle' ? plan.changes : plan.slow
  const sample = (one: () => number): readonly number[] => Array.from({ length: times }, one)
  return { peer, size, policyMs: sample(enforcement.addPolicy), podMs: sample(enforcement.addPod) }
}

const wholePolicies = 1_000

/** A whole cluster, from objects to the kernel, and verdicts of the engine that the tools use. */
function measureWhole(
  folder: string,
): Pick<PolicyRun, 'wholeMs' | 'wholePodMs' | 'wholePolicyMs' | 'verdictsPerSecond'> {
  const policies = values.quick ? 100 : wholePolicies
  const wholeMs: number[] = []
  let wholePodMs: readonly number[] = []
  let wholePolicyMs: readonly number[] = []
  for (let round = 0; round < (values.quick ? 2 : 5); round++) {
    const node = new BenchNode(join(folder, 'traffic'))
    try {
      const tulle = new Tulle(node.node, spreadWorld(policies, plan.pods))
      wholeMs.push(tulle.loadMilliseconds)
      if (round === 0) {
        wholePodMs = Array.from({ length: plan.changes }, tulle.addPod)
        wholePolicyMs = Array.from({ length: plan.changes }, tulle.addPolicy)
      }
      tulle.close()
    } finally {
      node.close()
    }
  }
  return { wholeMs, wholePodMs, wholePolicyMs, verdictsPerSecond: measureEngine(policies) }
}

/** In a network namespace of its own, which ends with it. */
function measureAgent(): AgentFigures {
  const program = fileURLToPath(new URL('agent.ts', import.meta.url))
  const words = [process.execPath, program, ...(values.quick ? ['--quick'] : [])]
  const done = run(['unshare', '--net', ...words])
  if (done.code !== 0) throw new Error(`Cannot measure an agent: ${done.stderr}`)
  return JSON.parse(done.stdout) as AgentFigures
}

function measureEngine(policies: number): number {
  const { state } = spreadWorld(policies, 2_000)
  const endpoints = [...state.pods.values()].flatMap((pod) =>
    pod.addresses.map((address) => endpointOf(pod, address)),
  )
  const cluster = {
    namespaces: state.namespaces,
    pods: [...state.pods.values()],
    nodes: [],
    policies: [...state.policies.values()].flat(),
  }
  const began = performance.now()
  const { isAllowed } = prepare(cluster, endpoints)
  let allowed = 0
  for (let from = 0; from < endpoints.length; from++)
    for (let to = 0; to < endpoints.length; to++) if (isAllowed(from, to, 'TCP', 8080)) allowed++
  if (allowed === 0) throw new Error('Cannot be: no verdict allows')
  return (endpoints.length ** 2 * 1000) / (performance.now() - began)
}

const result = await main()
process.stdout.write(
  values.json ? `${JSON.stringify(result, undefined, 2)}\n` : `${formatPolicyRun(result)}\n`,
)
process.exitCode = isComplete(result) ? 0 : 1
