import type {
  AgentStatus,
  CallStatus,
  DriftStatus,
  Finding,
  PeerStatus,
  SelfStatus,
  SourceStatus,
} from '../../serve/agent-status.ts'
import { ago, formatSeconds, formatSince } from '../duration.ts'
import { formatColumns, formatTable, paint, type Screen, type Style } from '../table.ts'
import { policyRows } from './policy-rows.ts'

// The one screen of `tulle status`, as the agent tells it. Made of values alone.

export type ScreenOptions = Screen & {
  /** Every peer, and not only those with problems where there are many. */
  readonly all: boolean
  readonly nowMilliseconds: number
}

/** So many peers fit on a screen with the rest. */
const peersShownMax = 20
const errorsShownMax = 5

export function formatAgent(status: AgentStatus, options: ScreenOptions): string {
  return [
    headOf(status, options),
    formatColumns(factsOf(status, options).map((row) => [...row])),
    peersOf(status.peers, options),
    findingsOf(status.findings, options),
    errorsOf(status, options),
  ]
    .filter((part) => part !== '')
    .join('\n')
}

function headOf({ version, node, pid, ready, since }: AgentStatus, options: ScreenOptions): string {
  const state = ready ? paint('ready', 'green', options) : paint('NOT READY', 'red', options)
  const age = formatSince(since, options.nowMilliseconds)
  return `${paint(node, 'bold', options)}  ${state}  tulle ${version}, agent ${pid}, up ${age}\n`
}

type Fact = readonly [name: string, text: string]

function factsOf(status: AgentStatus, options: ScreenOptions): readonly Fact[] {
  const { source, self, leases, calls, drift, convergence, policy } = status
  const { used, free, ranges } = leases
  const byRange = ranges.map(
    (range) => `${range.subnet} ${range.used} of ${range.used + range.free}`,
  )
  const pending = convergence.pending === undefined ? '' : `; NOT YET: ${convergence.pending}`
  const last = convergence.lastSeconds
  return [
    ['source', sourceOf(source)],
    ...(self ? selfOf(self) : ([['addresses', 'not known yet']] as const)),
    ['leases', `${used} held, ${free} free${byRange.length > 0 ? ` (${byRange.join(', ')})` : ''}`],
    ...(calls ? [['plugin calls', callsOf(calls)] as const] : []),
    ['drift', driftOf(drift, options)],
    [
      'changes',
      `${last === undefined ? 'none yet' : `the last took ${Math.ceil(last * 1000)} ms`}${pending}`,
    ],
    ...(policy ? policyRows(policy) : []),
  ]
}

const callsOf = ({ served, failed, left }: CallStatus): string =>
  `${served} served, ${failed} refused, ${left} left to processes of their own`

function sourceOf({
  kind,
  where,
  connected,
  using,
  lastContactSeconds,
  error,
}: SourceStatus): string {
  const heard =
    lastContactSeconds === undefined
      ? 'never heard'
      : `heard ${ago(formatSeconds(lastContactSeconds))}`
  const state = connected ? 'connected' : 'NOT CONNECTED'
  const used = using === 'known' ? ', what was last known is used' : ''
  const nothing = using === 'nothing' ? ', nothing known yet' : ''
  const why = error === undefined ? '' : `: ${error}`
  return `${kind} ${where}  ${state}, ${heard}${used}${nothing}${why}`
}

const selfOf = (self: SelfStatus): readonly Fact[] => [
  ['addresses', self.addresses.join(', ') || 'none'],
  ['podCIDRs', self.podCIDRs.join(', ') || 'none'],
  ...self.uplinks.map(
    ({ link, address, mtuBytes }): Fact => ['uplink', `${link} ${address} MTU ${mtuBytes}`],
  ),
  ...self.devices.map(
    ({ name, vni, port, local, mac, mtuBytes }): Fact => [
      'tunnel',
      `${name} VNI ${vni} UDP ${port} from ${local} MTU ${mtuBytes} MAC ${mac}`,
    ],
  ),
  ['pods', `MTU ${self.podMtuBytes}`],
]

function driftOf({ repairs, byKind, lastRepair }: DriftStatus, options: ScreenOptions): string {
  if (repairs === 0) return 'nothing had to be put back'
  const kinds = Object.entries(byKind).map(([kind, count]) => `${kind} ${count}`)
  const last = lastRepair
    ? `; last ${ago(formatSince(lastRepair.at, options.nowMilliseconds))}: ${lastRepair.what}`
    : ''
  return `${repairs} put back${kinds.length > 0 ? ` (${kinds.join(', ')})` : ''}${last}`
}

export const hasProblem = ({ problem, probe }: PeerStatus): boolean =>
  problem !== undefined || probe?.state === 'failing' || probe?.finding !== undefined

/** "3 peers: 2 vxlan, 1 direct; 1 with a problem" and a table. */
function peersOf(peers: readonly PeerStatus[], options: ScreenOptions): string {
  if (peers.length === 0) return 'no peers\n'
  const troubled = peers.filter(hasProblem)
  const shown =
    options.all || peers.length <= peersShownMax ? peers : troubled.slice(0, peersShownMax)
  const left = options.all || peers.length <= peersShownMax ? 0 : peers.length - shown.length
  const table = formatTable(
    ['PEER', 'ADDRESSES', 'PODCIDRS', 'MODE', 'PROBE'],
    shown.map((peer) => [
      peer.name,
      peer.addresses.join(', ') || '-',
      peer.podCIDRs.join(', ') || '-',
      modeOf(peer),
      probeOf(peer),
    ]),
    options,
  )
  const lines = table.split('\n')
  const painted = lines.map((line, at) => paintProblem(line, shown[at - 1], options))
  return [
    `${summaryOf(peers, troubled.length)}\n`,
    ...(shown.length > 0 ? [painted.join('\n')] : []),
    ...(left > 0 ? [`… and ${left} more: "tulle status --all"\n`] : []),
  ].join('')
}

function summaryOf(peers: readonly PeerStatus[], troubled: number): string {
  const counts = Map.groupBy(peers, modeOf)
  const modes = [...counts].map(([mode, { length }]) => `${length} ${mode === '-' ? 'none' : mode}`)
  const trouble = troubled === 0 ? 'all well' : `${troubled} with a problem`
  return `${peers.length} ${peers.length === 1 ? 'peer' : 'peers'}: ${modes.join(', ')}; ${trouble}`
}

const modeOf = ({ ways, isFlannel }: PeerStatus): string => {
  const modes = [...new Set(ways.map(({ mode }) => mode))].join('+') || '-'
  return isFlannel ? `${modes} (flannel)` : modes
}

function probeOf({ probe, problem }: PeerStatus): string {
  if (problem !== undefined) return problem
  if (!probe || probe.state === 'unknown') return '-'
  const rtt = probe.rttMs === undefined ? '' : ` ${probe.rttMs} ms`
  const loss = probe.lossPercent ? `, ${probe.lossPercent} % lost` : ''
  const finding = probe.finding === undefined ? '' : `: ${probe.finding}`
  return `${probe.state}${rtt}${loss}${finding}`
}

function paintProblem(line: string, peer: PeerStatus | undefined, screen: Screen): string {
  if (!peer || !hasProblem(peer)) return line
  const isBad = peer.problem !== undefined || peer.probe?.state === 'failing'
  return paint(line, isBad ? 'red' : 'yellow', screen)
}

const styleOf: Readonly<Record<Finding['severity'], Style>> = { error: 'red', warning: 'yellow' }

function findingsOf(findings: readonly Finding[], options: ScreenOptions): string {
  if (findings.length === 0) return ''
  const lines = findings.map(({ check, subject, severity, meaning, remedy }) => {
    const name = paint(severity, styleOf[severity], options)
    const about = subject === undefined ? check : `${check} ${subject}`
    return `${name}  ${about}: ${meaning}\n  ${remedy}\n`
  })
  return lines.join('')
}

function errorsOf({ lastErrors, loops }: AgentStatus, options: ScreenOptions): string {
  const failing = loops
    .filter(({ failuresInRow }) => failuresInRow > 0)
    .map(({ name, failuresInRow }) => `loop ${name} has failed ${failuresInRow} times in a row\n`)
  const shown = lastErrors.slice(0, errorsShownMax)
  if (shown.length === 0) return failing.join('')
  const rows = shown.map(({ at, where, text }) => [
    ago(formatSince(at, options.nowMilliseconds)),
    where,
    text,
  ])
  return `${failing.join('')}${formatTable(['WHEN', 'WHERE', 'LAST ERRORS'], rows, options)}`
}
