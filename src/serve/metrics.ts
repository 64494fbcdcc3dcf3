import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { AgentStatus } from './agent-status.ts'
import type { Answer } from './http-server.ts'
import { PolicyMetrics } from './policy-metrics.ts'

/** From the news to the kernel: the target is 20 ms for one node's change at 5,000 nodes. */
const convergenceBuckets = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/**
 * What Prometheus reads. All but the histogram is taken from the status at the time of asking, so
 * that the two can't disagree.
 */
export class AgentMetrics {
  readonly #registry = new Registry()
  readonly #convergence = new Histogram({
    name: 'tulle_convergence_seconds',
    help: 'From the news of a change in the cluster to its being in the kernel.',
    buckets: convergenceBuckets,
    registers: [this.#registry],
  })
  readonly #gauges = gaugesIn(this.#registry)
  readonly #counters = countersIn(this.#registry)
  readonly #policy = new PolicyMetrics(this.#registry)

  observeConvergence(seconds: number): void {
    this.#convergence.observe(seconds)
  }

  observePolicyConvergence(seconds: number): void {
    this.#policy.observeConvergence(seconds)
  }

  async answer(status: AgentStatus): Promise<Answer> {
    this.#setGauges(status)
    this.#setCounters(status)
    this.#policy.set(status)
    return { code: 200, type: this.#registry.contentType, body: await this.#registry.metrics() }
  }

  #setGauges(status: AgentStatus): void {
    const { build, leasesUsed, leasesFree, peers, findings, ready, connected } = this.#gauges
    const { lastContact, podMtu, startTime, memory } = this.#gauges
    build.set({ version: status.version, node: status.node }, 1)
    ready.set(status.ready ? 1 : 0)
    connected.set(status.source.connected ? 1 : 0)
    if (status.source.lastContactSeconds !== undefined)
      lastContact.set(status.source.lastContactSeconds)
    podMtu.set(status.self?.podMtuBytes ?? 0)
    leasesUsed.set(status.leases.used)
    leasesFree.set(status.leases.free)
    for (const [mode, count] of Object.entries(countPeers(status))) peers.set({ mode }, count)
    findings.reset()
    for (const { check } of status.findings) findings.inc({ check })
    startTime.set(Date.parse(status.since) / 1000)
    memory.set(process.memoryUsage.rss())
  }

  #setCounters({ drift, loops, calls }: AgentStatus): void {
    const { repairs, errors, runs, cpu, calls: served } = this.#counters
    for (const counter of [repairs, errors, runs, cpu, served]) counter.reset()
    for (const [kind, count] of Object.entries(drift.byKind)) repairs.inc({ kind }, count)
    for (const loop of loops) {
      errors.inc({ loop: loop.name }, loop.errors)
      runs.inc({ loop: loop.name }, loop.runs)
    }
    for (const [outcome, count] of Object.entries(calls ?? {})) served.inc({ outcome }, count)
    const { user, system } = process.cpuUsage()
    cpu.inc((user + system) / 1e6)
  }
}

/** `none`: not one of its podCIDRs is reached; `mixed`: not all in one way. */
function countPeers({ peers }: AgentStatus): Readonly<Record<string, number>> {
  const counts = { direct: 0, vxlan: 0, mixed: 0, none: 0 }
  for (const { ways } of peers) {
    const modes = new Set(ways.map(({ mode }) => mode))
    const [mode] = modes
    counts[mode === undefined ? 'none' : modes.size > 1 ? 'mixed' : mode]++
  }
  return counts
}

function gaugesIn(registry: Registry) {
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Gauge<Label>({ name, help, labelNames, registers: [registry] })
  return {
    build: gauge('tulle_build_info', 'Always 1.', 'version', 'node'),
    ready: gauge('tulle_ready', '1 once everything has been done once.'),
    connected: gauge('tulle_source_connected', '1 while the source of nodes is heard.'),
    lastContact: gauge(
      'tulle_source_last_contact_seconds',
      'Since the source of nodes was last heard.',
    ),
    podMtu: gauge('tulle_pod_mtu_bytes', "MTU of pods' interfaces."),
    leasesUsed: gauge('tulle_leases_used', 'Addresses that pods hold.'),
    leasesFree: gauge('tulle_leases_free', 'Addresses left for pods.'),
    peers: gauge('tulle_peers', 'Other nodes, by the way to their pods.', 'mode'),
    findings: gauge('tulle_findings', 'What is wrong now, by check.', 'check'),
    startTime: gauge('process_start_time_seconds', 'Since 1970.'),
    memory: gauge('process_resident_memory_bytes', 'Resident memory.'),
  }
}

function countersIn(registry: Registry) {
  const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Counter<Label>({ name, help, labelNames, registers: [registry] })
  return {
    repairs: counter(
      'tulle_drift_repairs_total',
      'Things that somebody else changed and the agent put back.',
      'kind',
    ),
    errors: counter('tulle_errors_total', 'Failed runs of each loop.', 'loop'),
    runs: counter('tulle_loop_runs_total', 'Runs of each loop.', 'loop'),
    calls: counter(
      'tulle_cni_calls_total',
      'Calls of the plugin that launchers brought: served, failed, left to a process.',
      'outcome',
    ),
    cpu: counter('process_cpu_seconds_total', 'User and system time.'),
  }
}
