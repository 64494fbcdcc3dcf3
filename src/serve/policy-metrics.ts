import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { AgentStatus } from './agent-status.ts'

/** From the news to the kernel: the target is 10 ms for one pod or policy at 10,000 pods. */
const convergenceBuckets = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** As of the agent's metrics, all but the histogram is of the status at the time of asking. */
export class PolicyMetrics {
  readonly #convergence: Histogram
  readonly #gauges: ReturnType<typeof gaugesIn>
  readonly #counters: ReturnType<typeof countersIn>

  constructor(registry: Registry) {
    this.#convergence = new Histogram({
      name: 'tulle_policy_convergence_seconds',
      help: "From the news of a pod's, namespace's or policy's change to its being in the kernel.",
      buckets: convergenceBuckets,
      registers: [registry],
    })
    this.#gauges = gaugesIn(registry)
    this.#counters = countersIn(registry)
  }

  observeConvergence(seconds: number): void {
    this.#convergence.observe(seconds)
  }

  set({ policy, drift }: AgentStatus): void {
    const { denied, audited, closed, repairs, nodePorts } = this.#counters
    for (const counter of Object.values(this.#counters)) counter.reset()
    this.#gauges.revision.reset()
    if (!policy) return
    const { policies, odd, profiles, elements, waiting, lag, revision } = this.#gauges
    policies.set(policy.policies)
    odd.set(policy.oddPolicies)
    profiles.set(policy.profiles)
    elements.set(policy.elements)
    waiting.set(policy.waiting.length)
    lag.set(policy.lagSeconds ?? 0)
    for (const [kind, version] of Object.entries(policy.revisions))
      if (/^\d+$/.test(version)) revision.set({ kind }, Number(version))
    for (const { action, direction, policies: names, packets } of policy.refused)
      if (action === 'closed') closed.inc({ direction }, packets)
      else
        (action === 'deny' ? denied : audited).inc({ policy: names.join(' '), direction }, packets)
    repairs.inc(drift.byKind.policy ?? 0)
    nodePorts.inc(policy.nodePortsRefused ?? 0)
  }
}

function gaugesIn(registry: Registry) {
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Gauge<Label>({ name, help, labelNames, registers: [registry] })
  return {
    policies: gauge('tulle_policies', 'Policies that are known.'),
    odd: gauge('tulle_policies_odd', 'Policies of which something is not in force.'),
    profiles: gauge('tulle_policy_profiles', "What this node's pods are asked, each once."),
    elements: gauge('tulle_policy_elements', 'Elements of sets and maps for policies.'),
    waiting: gauge('tulle_policy_waiting_pods', 'Pods that are closed, as nobody told of them.'),
    lag: gauge('tulle_policy_lag_seconds', 'Since the first change that is not in the kernel.'),
    revision: gauge('tulle_policy_revision', 'resourceVersion that is in the kernel.', 'kind'),
  }
}

function countersIn(registry: Registry) {
  const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Counter<Label>({ name, help, labelNames, registers: [registry] })
  return {
    denied: counter(
      'tulle_policy_denied_packets_total',
      'Packets that policies refused.',
      'policy',
      'direction',
    ),
    audited: counter(
      'tulle_policy_audited_packets_total',
      'Packets that policies would refuse that are only tried out.',
      'policy',
      'direction',
    ),
    closed: counter(
      'tulle_policy_closed_packets_total',
      'Packets of pods whose policies were not known yet.',
      'direction',
    ),
    repairs: counter(
      'tulle_policy_drift_repairs_total',
      'Times that somebody else changed policies in the kernel and the agent put them back.',
    ),
    nodePorts: counter(
      'tulle_node_port_refused_packets_total',
      'Packets to guarded ports of the node.',
    ),
  }
}
