import { directions } from '../cluster/network-policy.ts'
import type { Found } from './finding.ts'
import type { LintView } from './lint-view.ts'
import { isSelectable } from './select.ts'

/** Namespaces with pods that no policy isolates. */
export function namespaceFindings(view: LintView): readonly Found[] {
  const pods = view.cluster.pods.filter(isSelectable)
  const groups = Map.groupBy(pods, ({ namespace }) => namespace)
  return [...groups].sort().flatMap(([namespace, members]): readonly Found[] => {
    const open = directions.filter((direction) =>
      members.some((pod) => !view.policiesOf(pod).some(({ isolates }) => isolates[direction])),
    )
    if (open.length === 0) return []
    const policyTypes = open.map((direction) => (direction === 'ingress' ? 'Ingress' : 'Egress'))
    return [
      {
        check: 'open-namespace',
        object: `Namespace ${namespace}`,
        text: `has pods that no policy isolates for ${open.join(' and ')}`,
        fix: {
          apiVersion: 'networking.k8s.io/v1',
          kind: 'NetworkPolicy',
          metadata: { namespace, name: `default-deny-${open.join('-')}` },
          spec: { podSelector: {}, policyTypes },
        },
      },
    ]
  })
}
