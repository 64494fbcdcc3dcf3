import { type Cell, cell, colourPaint, formatMs, formatTable, plainPaint } from '../table.ts'
import type { AgentFigures } from './agent.ts'

export type Traffic = Readonly<{
  peer: string
  size: number
  tripMs: number
  connectionsPerSecond: number
}>
export type Change = Readonly<{
  peer: string
  size: number
  policyMs: readonly number[]
  podMs: readonly number[]
}>
export type PolicyRun = Readonly<{
  pods: number
  traffic: readonly Traffic[]
  changes: readonly Change[]
  /** Compile and load of 1,000 policies, spread over 100 namespaces, each. */
  wholeMs: readonly number[]
  /** One more pod there, one more policy about this node's pods. */
  wholePodMs: readonly number[]
  wholePolicyMs: readonly number[]
  verdictsPerSecond: number
  agent: AgentFigures
  isQuick: boolean
}>

/** What could not be measured, and why. */
const notMeasured = [
  'kube-network-policies: it asks user space by NFQUEUE, which this kernel’s nf_tables lacks',
  'Calico and kube-router themselves: they want a cluster; their rules’ shape stands for them',
]

export const isComplete = ({ traffic }: PolicyRun): boolean =>
  traffic.every(({ tripMs, connectionsPerSecond }) => tripMs > 0 && connectionsPerSecond > 0)

/** The value that this share of the samples does not exceed. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

export function formatPolicyRun(run: PolicyRun): string {
  const paint = process.stdout.isTTY && !process.env.NO_COLOR ? colourPaint : plainPaint
  const sizes = [...new Set(run.traffic.map(({ size }) => size))]
  const names = [...new Set(run.traffic.map(({ peer }) => peer))]
  const columns = ['', ...sizes.map((size) => `${size.toLocaleString('en-GB')} policies`)]
  const of = <T extends { peer: string; size: number }>(all: readonly T[], peer: string) =>
    sizes.map((size) => all.find((one) => one.peer === peer && one.size === size))
  const tables = [
    {
      title: 'Round trip of a packet on one flow, µs',
      rows: names.map((peer) => [
        cell(peer),
        ...of(run.traffic, peer).map((one) => cell(((one?.tripMs ?? 0) * 1000).toFixed(2))),
      ]),
      notes: ['every policy is about the pod that is asked; the last one lets the client in'],
    },
    {
      title: 'New connections a second, one after the other',
      rows: names.map((peer) => [
        cell(peer),
        ...of(run.traffic, peer).map((one) =>
          cell(Math.round(one?.connectionsPerSecond ?? 0).toLocaleString('en-GB')),
        ),
      ]),
      notes: [],
    },
    {
      title: 'One more policy, one more pod, ms: p50 (p99)',
      rows: (['policyMs', 'podMs'] as const).flatMap((what) =>
        names.map((peer) => [
          cell(`${peer}, ${what === 'policyMs' ? 'policy' : 'pod'}`),
          ...of(run.changes, peer).map((one) => timesCell(one?.[what] ?? [])),
        ]),
      ),
      notes: [
        'ours: from the object to the kernel’s answer; iptables: its programs, of a few changes',
      ],
    },
  ]
  return [
    ...tables.map((table) => formatTable({ columns, ...table }, paint)),
    formatTable(targetTable(run), paint),
  ].join('\n')
}

const timesCell = (samples: readonly number[]): Cell =>
  samples.length === 0
    ? cell('–', 'dim')
    : cell(`${formatMs(percentile(samples, 0.5))} (${formatMs(percentile(samples, 0.99))})`)

type Target = Readonly<{ text: string; limit: string; seen: string; isMet: boolean }>

/** Of the issue; each compares ours with ours. */
export function targetsOf(run: PolicyRun): readonly Target[] {
  const ours = run.traffic.filter(({ peer }) => peer === 'tulle')
  const [none, most] = [ours[0], ours.at(-1)]
  const trip = (none?.tripMs ?? 0) / (most?.tripMs ?? 0)
  const rate = (most?.connectionsPerSecond ?? 0) / (none?.connectionsPerSecond ?? 0)
  const onePod = percentile(run.wholePodMs, 0.99)
  const onePolicy = percentile(run.wholePolicyMs, 0.99)
  const largest = run.changes.findLast(({ peer }) => peer === 'tulle')
  const policy = percentile(largest?.policyMs ?? [], 0.99)
  const whole = percentile(run.wholeMs, 0.5)
  const { agent } = run
  const [told, asked] = [percentile(agent.podMs, 0.99), percentile(agent.policyMs, 0.99)]
  const [size, pods] = [most?.size ?? 0, run.pods].map((count) => count.toLocaleString('en-GB'))
  const times = (value: number): string => `${value.toFixed(2)}×`
  return [
    {
      text: `round trips a second at ${size} policies ÷ at none`,
      ...{ limit: '≥ 0.95×', seen: times(trip), isMet: trip >= 0.95 },
    },
    {
      text: `connections a second at ${size} policies ÷ at none`,
      ...{ limit: '≥ 0.95×', seen: times(rate), isMet: rate >= 0.95 },
    },
    {
      text: `one pod, ${pods} pods × 1,000 policies, p99`,
      ...{ limit: '≤ 10 ms', seen: `${formatMs(onePod)} ms`, isMet: onePod <= 10 },
    },
    {
      text: `one policy, ${pods} pods × 1,000 policies, p99`,
      ...{ limit: '≤ 10 ms', seen: `${formatMs(onePolicy)} ms`, isMet: onePolicy <= 10 },
    },
    {
      text: `one policy, where ${size} are about one pod, p99`,
      ...{ limit: '≤ 10 ms', seen: `${formatMs(policy)} ms`, isMet: policy <= 10 },
    },
    {
      text: `compile and load, ${pods} pods × 1,000 policies`,
      ...{ limit: '≤ 2,000 ms', seen: `${formatMs(whole)} ms`, isMet: whole <= 2000 },
    },
    {
      text: 'agent there: API event of one pod → kernel, p99',
      ...{ limit: '≤ 10 ms', seen: `${formatMs(told)} ms`, isMet: told <= 10 },
    },
    {
      text: 'agent there: API event of one policy → kernel, p99',
      ...{ limit: '≤ 10 ms', seen: `${formatMs(asked)} ms`, isMet: asked <= 10 },
    },
    {
      text: 'agent there: memory, most ever',
      limit: '≤ 200 MiB',
      seen: `${Math.round(agent.memory.peak)} MiB (now ${Math.round(agent.memory.now)})`,
      isMet: agent.memory.peak <= 200,
    },
    {
      text: 'verdicts of the engine a second',
      limit: '≥ 1,000,000',
      seen: Math.round(run.verdictsPerSecond).toLocaleString('en-GB'),
      isMet: run.verdictsPerSecond >= 1_000_000,
    },
  ]
}

const targetTable = (run: PolicyRun) => ({
  title: 'Targets',
  columns: ['', 'state', 'limit', 'measured'],
  rows: targetsOf(run).map(({ text, limit, seen, isMet }) => [
    cell(text),
    isMet ? cell('met', 'good') : cell('MISSED', 'bad'),
    cell(limit),
    cell(seen),
  ]),
  notes: [
    ...notMeasured.map((text) => `not measured: ${text}`),
    ...(run.isQuick ? ['a quick run: smaller, and too few rounds to judge by'] : []),
  ],
})
