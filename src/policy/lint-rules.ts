import type { Found } from './finding.ts'
import type { LintView } from './lint-view.ts'
import type { Policy, Rule } from './model.ts'
import { selects } from './select.ts'

export type RuleFound = Omit<Found, 'object' | 'path'>

/** What one rule's own words show. */
export const ruleFindings = (policy: Policy, rule: Rule, view: LintView): readonly RuleFound[] => [
  ...emptyRule(policy, rule),
  ...eitherPeer(rule),
  ...peersOfNobody(rule, view),
]

export const isEverything = ({ action, peers, ports }: Rule): boolean =>
  action === 'allow' && ports === undefined && peers.some(({ kind }) => kind === 'anybody')

/** `{}` is everything to a NetworkPolicy and nothing to a CiliumNetworkPolicy. */
function emptyRule({ kind }: Policy, rule: Rule): readonly RuleFound[] {
  const { action, peers, ports } = rule
  if (kind === 'NetworkPolicy') {
    if (!isEverything(rule)) return []
    const text = 'allows everything; in a CiliumNetworkPolicy an empty rule allows nothing'
    return [{ check: 'empty-rule', text }]
  }
  if (action === 'deny' || peers.length > 0) return []
  const list = 'in a NetworkPolicy an empty list of peers is anybody'
  const rest = ports ? list : 'in a NetworkPolicy an empty rule allows everything'
  return [{ check: 'empty-rule', text: `allows nothing; ${rest}` }]
}

/** "- namespaceSelector … - podSelector …" where one peer with both was meant. */
function eitherPeer({ peers }: Rule): readonly RuleFound[] {
  const selectors = peers.flatMap((peer) => (peer.kind === 'pods' ? [peer.selector] : []))
  const isOfNamespaces = selectors.some(
    (selector) => selector.length > 0 && selector.every(({ of }) => of === 'namespace'),
  )
  const isOfOwnPods = selectors.some(
    (selector) =>
      selector.some(({ of }) => of === 'namespace-name') && selector.some(({ of }) => of === 'pod'),
  )
  if (!isOfNamespaces || !isOfOwnPods) return []
  const text =
    'has one peer of whole namespaces and another one of pods of its own namespace: either of ' +
    'them is allowed'
  return [{ check: 'either-peer', text }]
}

function peersOfNobody({ peers }: Rule, { cluster }: LintView): readonly RuleFound[] {
  return peers.flatMap((peer, index): readonly RuleFound[] => {
    if (peer.kind !== 'pods') return []
    if (cluster.pods.some((pod) => selects(peer.selector, pod, cluster))) return []
    return [{ check: 'peer-matches-nothing', text: `peer ${index} selects no running pod` }]
  })
}
