import { at, textOf as textIn } from '../cluster/json-value.ts'
import { latestOf } from '../cluster/policy-revision.ts'
import { type Command, type Desk, InputFault, jsonOption, textOf, UsageFault } from './command.ts'
import { kubeconfigOption, LiveCluster, liveKinds } from './live-cluster.ts'
import { Follower, type Outcome } from './policy-wait/follower.ts'
import type { NodeState, Rollout, Wanted } from './policy-wait/rollout.ts'
import { formatTable, paint } from './table.ts'

export const policyWait: Command = {
  name: 'policy wait',
  summary: 'Wait until all nodes enforce the policies',
  about: [
    'Of the policies that are named, else of all, the revisions of now are waited for: each',
    'node tells on its Node object up to which its kernel enforces. A deletion has no revision',
    'in the cluster; the answer of the API server to it has one, for --revision.',
    'Exit code 1: some nodes did not in time; they are named. 2: the cluster cannot be asked.',
  ],
  operands: [{ name: 'NAMESPACE/NAME', need: 'repeated' }],
  options: {
    revision: {
      type: 'string',
      value: 'X',
      text: 'wait for this resourceVersion; as networkpolicies=X or ciliumnetworkpolicies=X',
    },
    timeout: { type: 'string', value: 'TIME', default: '60s', text: 'give up after: 30s, 5m, 1h' },
    'ready-nodes': { type: 'boolean', text: 'do not wait for nodes that are NotReady' },
    kubeconfig: kubeconfigOption,
    json: jsonOption,
  },
  run: async (desk) => {
    const milliseconds = millisecondsOf(textOf(desk.values, 'timeout') ?? '')
    const asked = askedRevision(desk)
    const live = new LiveCluster(desk)
    try {
      const policies = await policiesOf(desk, live)
      const wanted = asked ? [asked, ...wantedOf(policies)] : wantedOf(policies)
      if (wanted.length === 0) {
        if (desk.values.json !== true) desk.remark('there is no policy to wait for\n')
        return report(desk, { nodes: [], pending: [], seconds: 0 }, [])
      }
      const outcome = await new Follower({
        ...{ live, wanted, milliseconds },
        waitedFor: desk.values['ready-nodes'] === true ? 'ready' : 'all',
        onProgress: (rollout) => showProgress(rollout, desk),
      })
        .run()
        .finally(() => clearProgress(desk))
      return report(desk, outcome, policies)
    } finally {
      live.close()
    }
  },
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
/** setTimeout takes no more; nobody waits longer. */
const millisecondsMax = 24 * 3_600_000

function millisecondsOf(text: string): number {
  const [, number = '', unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? []
  const milliseconds = Number(number) * (units[unit] ?? 0)
  if (number === '' || milliseconds > millisecondsMax)
    throw new UsageFault(`--timeout is ${text}; it may be as in 30s, 5m or 1h, 24h at most`)
  return milliseconds
}

const kinds = [liveKinds.networkPolicies, liveKinds.ciliumPolicies]

function askedRevision({ values }: Desk): Wanted | undefined {
  const text = textOf(values, 'revision')
  if (text === undefined) return undefined
  const [, plural, revision] = /^(?:([^=]+)=)?([^=]+)$/.exec(text) ?? []
  const kind = kinds.find(
    ({ resource }) => resource.plural === (plural ?? kinds[0]?.resource.plural),
  )
  if (kind && revision !== undefined) return { plural: kind.resource.plural, revision }
  const accepted = kinds.map(({ resource }) => `${resource.plural}=12345`).join(' or ')
  throw new UsageFault(`--revision is ${text}; it may be as in 12345, ${accepted}`)
}

type WaitedPolicy = Wanted & { readonly policy: string }

/** Those that are named; without names and without a revision, all of them. */
async function policiesOf(desk: Desk, live: LiveCluster): Promise<readonly WaitedPolicy[]> {
  const { operands, values } = desk
  if (operands.length === 0 && textOf(values, 'revision') !== undefined) return []
  const found = new Map<string, WaitedPolicy>()
  for (const kind of kinds)
    await live.read(kind, ({ object }) => {
      const [namespace, name, revision] = ['namespace', 'name', 'resourceVersion'].map(
        (key) => textIn(at(object, 'metadata', key)) ?? '',
      )
      const policy = `${kind.kind} ${namespace}/${name}`
      if (operands.length > 0 && !operands.includes(`${namespace}/${name}`)) return
      found.set(policy, { policy, plural: kind.resource.plural, revision: revision ?? '' })
    })
  const policies = [...found.values()]
  const missing = operands.filter(
    (name) => !policies.some(({ policy }) => policy.endsWith(` ${name}`)),
  )
  if (missing.length > 0)
    throw new InputFault(
      `There is no NetworkPolicy and no CiliumNetworkPolicy ${missing.join(', ')}; ` +
        'it takes namespace/name',
    )
  return policies
}

const wantedOf = (policies: readonly WaitedPolicy[]): readonly Wanted[] =>
  [...Map.groupBy(policies, ({ plural }) => plural)].flatMap(([plural, some]) =>
    latestOf(some.map(({ revision }) => revision)).map((revision) => ({ plural, revision })),
  )

const isWatched = (desk: Desk): boolean => desk.isTerminal && process.stderr.isTTY === true
const clearLine = '\r\x1b[K'
const namesMax = 5

/** One line on a terminal, written over and over; nothing in a log. */
function showProgress({ nodes: all, pending }: Rollout, desk: Desk): void {
  if (!isWatched(desk)) return
  const names = pending.slice(0, namesMax).map(({ name }) => name)
  const more = pending.length > namesMax ? ` and ${pending.length - namesMax} more` : ''
  const count = `${all.length - pending.length} of ${all.length} nodes`
  desk.remark(`${clearLine}${count}; waiting for ${names.join(', ')}${more}`.slice(0, 200))
}

function clearProgress(desk: Desk): void {
  if (isWatched(desk)) desk.remark(clearLine)
}

function report(desk: Desk, outcome: Outcome, policies: readonly WaitedPolicy[]): number {
  const { nodes: all, pending } = outcome
  const seconds = Math.round(outcome.seconds * 1000) / 1000
  const isEnforced = pending.length === 0
  const code = isEnforced ? 0 : 1
  if (desk.values.json === true) {
    const told = policies.map(({ policy, revision }) => ({ policy, revision }))
    desk.print(
      `${JSON.stringify({ isEnforced, seconds, policies: told, nodes: all }, undefined, 2)}\n`,
    )
    return code
  }
  if (all.length === 0) return code
  const others = all.filter(({ state }) => state !== 'enforcing')
  const rowOf = ({ name, state, why = '' }: NodeState): readonly string[] => [name, state, why]
  if (others.length > 0) desk.print(formatTable(['NODE', 'STATE', 'WHY'], others.map(rowOf), desk))
  const count = `${all.length - others.length} of ${all.length} nodes enforce`
  const what = policies.length === 0 ? '' : ` ${policies.length} policies`
  desk.print(paint(`${count}${what}, after ${seconds} s\n`, isEnforced ? 'green' : 'red', desk))
  return code
}
