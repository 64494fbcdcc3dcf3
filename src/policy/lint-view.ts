import type { Pod } from '../cluster/pod.ts'
import { type Dns, dnsOf } from './dns.ts'
import type { Cluster, Policy } from './model.ts'
import { isSelectable, selects } from './select.ts'

/** A cluster as the checks ask for it: each question is worked out once. */
export class LintView {
  readonly cluster: Cluster
  readonly dns: Dns
  readonly #pods: ReadonlyMap<string, readonly Pod[]>
  readonly #policies: ReadonlyMap<string, readonly Policy[]>
  readonly #subjects = new Map<Policy, readonly Pod[]>()
  readonly #policiesOf = new Map<Pod, readonly Policy[]>()

  constructor(cluster: Cluster) {
    this.cluster = cluster
    this.dns = dnsOf(cluster)
    this.#pods = Map.groupBy(cluster.pods, ({ namespace }) => namespace)
    this.#policies = Map.groupBy(cluster.policies, ({ namespace }) => namespace)
  }

  /** Every pod of a namespace, whatever its state. */
  podsIn(namespace: string): readonly Pod[] {
    return this.#pods.get(namespace) ?? []
  }

  policiesIn(namespace: string): readonly Policy[] {
    return this.#policies.get(namespace) ?? []
  }

  /** Policies select in their own namespace alone. */
  subjectsOf(policy: Policy): readonly Pod[] {
    const known = this.#subjects.get(policy)
    if (known) return known
    const pods = this.podsIn(policy.namespace)
    const found = pods.filter((pod) => selects(policy.subjects, pod, this.cluster))
    this.#subjects.set(policy, found)
    return found
  }

  /** None of a pod that no policy can select. */
  policiesOf(pod: Pod): readonly Policy[] {
    const known = this.#policiesOf.get(pod)
    if (known) return known
    const found = isSelectable(pod)
      ? this.policiesIn(pod.namespace).filter(({ subjects }) =>
          selects(subjects, pod, this.cluster),
        )
      : []
    this.#policiesOf.set(pod, found)
    return found
  }
}
