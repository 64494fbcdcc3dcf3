import {
  type EnforcingNode,
  hasReached,
  type PolicyRevisions,
} from '../../cluster/policy-revision.ts'

/** What every node is to have in force: of a kind, up to a revision. */
export type Wanted = {
  /** The kind's plural, as the nodes name it. */
  readonly plural: string
  readonly revision: string
}

export type NodeState = {
  readonly name: string
  readonly state: 'enforcing' | 'behind' | 'not-ready' | 'silent'
  /** Why it is not enforcing, for people. */
  readonly why?: string
  readonly revisions: PolicyRevisions
}

export type Rollout = {
  readonly nodes: readonly NodeState[]
  /** Those that are waited for. */
  readonly pending: readonly NodeState[]
}

/** Which nodes have it all in force. `ready`: those that are not ready are not waited for. */
export function rolloutOf(
  nodes: readonly EnforcingNode[],
  wanted: readonly Wanted[],
  waitedFor: 'all' | 'ready',
): Rollout {
  const states = nodes
    .map((node) => stateOf(node, wanted))
    .sort((left, right) => (left.name < right.name ? -1 : 1))
  const pending = states.filter(
    ({ state }) => state !== 'enforcing' && (waitedFor === 'all' || state !== 'not-ready'),
  )
  return { nodes: states, pending }
}

/** What a node that is not ready told before counts: its kernel goes on by itself. */
function stateOf(
  { name, isReady, revisions }: EnforcingNode,
  wanted: readonly Wanted[],
): NodeState {
  const missing = wanted.filter(
    ({ plural, revision }) => !hasReached(revisions?.[plural], revision),
  )
  const rest = { name, revisions: revisions ?? {} }
  if (missing.length === 0) return { ...rest, state: 'enforcing' }
  const lag = missing.map(({ plural, revision }) => {
    const there = revisions?.[plural]
    return `${plural} ${there === undefined ? 'none' : `at ${there}`} of ${revision}`
  })
  if (!isReady) return { ...rest, state: 'not-ready', why: `NotReady; ${lag.join(', ')}` }
  if (!revisions)
    return { ...rest, state: 'silent', why: 'no agent of Tulle has told what it enforces' }
  return { ...rest, state: 'behind', why: lag.join(', ') }
}
