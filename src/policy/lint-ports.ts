import type { ContainerPort, Pod } from '../cluster/pod.ts'
import type { PolicyPort } from '../cluster/policy-port.ts'
import type { RuleFound } from './lint-rules.ts'
import { backendsOf } from './lint-services.ts'
import type { LintView } from './lint-view.ts'
import type { Policy, Rule } from './model.ts'
import { isSelectable, selects } from './select.ts'

/** Ports of a rule that its destinations don't have: names, and numbers. */
export function portFindings(policy: Policy, rule: Rule, view: LintView): readonly RuleFound[] {
  const targets = targetsOf(policy, rule, view)
  if (targets.length === 0) return []
  const declared = targets.flatMap(({ ports }) => ports)
  const isWhole = rule.direction === 'ingress' || rule.peers.every(({ kind }) => kind === 'pods')
  return (rule.ports ?? []).flatMap((port): readonly RuleFound[] => {
    if (port.kind === 'name') return missingName(port, declared)
    return port.kind === 'range' && isWhole ? missingNumber(port, targets, view) : []
  })
}

/** Pods whose ports are meant (P18). */
function targetsOf(policy: Policy, rule: Rule, view: LintView): readonly Pod[] {
  if (rule.direction === 'ingress') return view.subjectsOf(policy)
  const { cluster } = view
  return cluster.pods.filter(
    (pod) =>
      isSelectable(pod) &&
      rule.peers.some(
        (peer) =>
          peer.kind === 'anybody' || (peer.kind === 'pods' && selects(peer.selector, pod, cluster)),
      ),
  )
}

function missingName(
  { protocol, name }: PolicyPort & { readonly kind: 'name' },
  declared: readonly ContainerPort[],
): readonly RuleFound[] {
  if (declared.some((one) => one.protocol === protocol && one.name === name)) return []
  const names = [...new Set(declared.flatMap((one) => one.name && `${one.name}/${one.protocol}`))]
  const there = names.filter((one) => one !== undefined).sort()
  const text = `no pod has a ${protocol} port named ${name}; there is ${
    there.join(', ') || 'no names'
  }`
  return [{ check: 'port-name', text }]
}

type Range = PolicyPort & { readonly kind: 'range' }

/** Pods that declare no port at all may listen on any. */
function missingNumber(
  range: Range,
  targets: readonly Pod[],
  view: LintView,
): readonly RuleFound[] {
  const { protocol, first, last } = range
  const isIn = (port: number): boolean => first <= port && port <= last
  const declared = targets.flatMap(({ ports }) => ports).filter((one) => one.protocol === protocol)
  if (declared.length === 0 || declared.some(({ port }) => isIn(port))) return []
  const shown = first === last ? `${protocol} ${first}` : `${protocol} ${first} to ${last}`
  for (const service of view.cluster.services ?? [])
    for (const one of service.ports) {
      if (one.protocol !== protocol || !isIn(one.port) || one.target === one.port) continue
      if (!backendsOf(service, view).some((pod) => targets.includes(pod))) continue
      const name = `Service ${service.namespace}/${service.name}`
      const text = `opens ${shown}, the port of ${name}, whose pods listen on ${one.target}`
      return [{ check: 'service-port', text, remedy: `write ${one.target}` }]
    }
  const ports = [...new Set(declared.map(({ port }) => port))].sort((left, right) => left - right)
  const there = ports.slice(0, 10).join(', ')
  const text = `no pod that it is about declares ${shown}; there is ${there}`
  return [{ check: 'nobody-listens', text }]
}
