import { listed } from '../../base/listed.ts'
import type { PolicyStatus, RefusedStatus } from '../../serve/agent-status.ts'
import { formatSeconds } from '../duration.ts'

const shownMax = 5

/** What of policies belongs on the one screen; as rows of name and text. */
export function policyRows(policy: PolicyStatus): readonly (readonly [string, string])[] {
  const { policies, oddPolicies, localAddresses, profiles, elements, revisions } = policy
  const odd = oddPolicies > 0 ? `, ${oddPolicies} not wholly in force` : ''
  const took =
    policy.lastSeconds === undefined
      ? ''
      : `; the last change took ${Math.ceil(policy.lastSeconds * 1000)} ms`
  const held = `${profiles} profiles, ${elements} elements`
  const told = Object.entries(revisions)
    .sort()
    .map(([kind, revision]) => `${kind} ${revision}`)
  return [
    ['policy', `${policies} policies${odd}; ${localAddresses} pod addresses (${held})${took}`],
    ['enforced', `${told.join(', ') || 'nothing yet'}${pendingOf(policy)}`],
    ...(policy.waiting.length > 0
      ? ([['closed', `${listed(policy.waiting, shownMax)}: not known yet`]] as const)
      : []),
    ...refusedRows(policy),
  ]
}

function pendingOf({ pending, lagSeconds }: PolicyStatus): string {
  if (pending === undefined) return ''
  const since = lagSeconds === undefined ? '' : `, for ${formatSeconds(lagSeconds)}`
  return `; NOT YET: ${pending}${since}`
}

const words: Readonly<Record<RefusedStatus['action'], string>> = {
  deny: 'refused',
  audit: 'would refuse',
  closed: 'refused early',
}

/** One row an action; those with the most packets by name. */
function refusedRows({
  refused,
  nodePortsRefused,
}: PolicyStatus): readonly (readonly [string, string])[] {
  const met = refused.filter(({ packets }) => packets > 0)
  const rows = [...Map.groupBy(met, ({ action }) => action)].map(([action, some]) => {
    const total = some.reduce((sum, { packets }) => sum + packets, 0)
    const most = [...some].sort((left, right) => right.packets - left.packets)
    const named = most.map(
      ({ direction, policies, packets }) =>
        `${direction}${policies.length > 0 ? ` ${policies.join('+')}` : ''} ${packets}`,
    )
    return [words[action], `${total} packets (${listed(named, shownMax)})`] as const
  })
  if (nodePortsRefused === undefined) return rows
  return [...rows, ['node ports', `${nodePortsRefused} packets refused`]]
}
