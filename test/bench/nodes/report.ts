import { cell, formatMs, formatTable, type Paint } from '../table.ts'
import type { Figures, Plan } from './measure.ts'

export type NodesTarget = {
  readonly text: string
  readonly limit: number
  readonly value: number
  readonly unit: string
  readonly state: 'met' | 'missed'
  /** What it was made of. */
  readonly of: string
}

export type NodesRun = {
  readonly plan: Plan
  /** iproute2's time for the same entries: median. */
  readonly batchMs: number
  readonly contenders: readonly { readonly name: string; readonly figures: Figures }[]
  readonly missing: readonly string[]
  readonly targets: readonly NodesTarget[]
}

export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** What the project promises of its agent. */
export function judge({
  batchMs,
  contenders,
}: Pick<NodesRun, 'batchMs' | 'contenders'>): readonly NodesTarget[] {
  const own = contenders.find(({ name }) => name === 'tulle')?.figures
  if (!own) return []
  const target = (text: string, value: number, limit: number, unit: string, of: string) => ({
    ...{ text, value, limit, unit, of },
    state: value <= limit ? ('met' as const) : ('missed' as const),
  })
  const { programmingMs, changesMs, memoryMiB, noiseCpu, healMs } = own
  return [
    target(
      'first programming ÷ ip -batch of the same',
      programmingMs / batchMs,
      1.2,
      '×',
      `${formatMs(programmingMs)} : ${formatMs(batchMs)} ms`,
    ),
    target(
      "one node's change, p99",
      quantile(changesMs, 0.99),
      20,
      'ms',
      `p50 ${formatMs(quantile(changesMs, 0.5))} ms`,
    ),
    target('memory, most ever', memoryMiB.peak, 120, 'MiB', `${memoryMiB.now.toFixed(0)} MiB now`),
    target('50 heartbeats a second, of one core', noiseCpu * 100, 2, '%', 'user and system'),
    target('a deleted route is back', healMs ?? Number.POSITIVE_INFINITY, 1000, 'ms', 'one route'),
  ]
}

export function formatNodes(run: NodesRun, paint: Paint): string {
  const { plan, batchMs, contenders, missing, targets } = run
  const rows: readonly (readonly [string, (figures: Figures) => string])[] = [
    ['exec to the last route, ms', ({ startMs }) => formatMs(startMs)],
    ['first route to the last, ms', ({ programmingMs }) => formatMs(programmingMs)],
    ['a node joins, p50 ms', ({ changesMs }) => formatMs(quantile(changesMs, 0.5))],
    ['a node joins, p99 ms', ({ changesMs }) => formatMs(quantile(changesMs, 0.99))],
    ['memory now / most, MiB', (one) => `${mib(one.memoryMiB.now)} / ${mib(one.memoryMiB.peak)}`],
    ['idle, % of a core', ({ idleCpu }) => (idleCpu * 100).toFixed(2)],
    [
      `${plan.noisePerSecond} heartbeats/s, % of a core`,
      ({ noiseCpu }) => (noiseCpu * 100).toFixed(2),
    ],
    [
      'a deleted route is back, ms',
      ({ healMs }) => (healMs === undefined ? 'not in 5 s' : formatMs(healMs)),
    ],
  ]
  const table = {
    title: `Node agents: ${plan.nodes.toLocaleString('en')} nodes, VXLAN (nodes)`,
    columns: ['', ...contenders.map(({ name }) => name)],
    rows: rows.map(([text, of]) => [
      cell(text),
      ...contenders.map(({ figures }) => cell(of(figures))),
    ]),
    notes: [`ip -batch of the same neighbours, FDB entries and routes: ${formatMs(batchMs)} ms`],
  }
  const judged = {
    title: 'Promises of the agent',
    columns: ['', 'value', 'limit', 'of', ''],
    rows: targets.map(({ text, value, limit, unit, of, state }) => [
      cell(text),
      cell(`${formatMs(value)} ${unit}`),
      cell(`${limit} ${unit}`),
      cell(of, 'dim'),
      cell(state, state === 'met' ? 'good' : 'bad'),
    ]),
    notes: [],
  }
  const left = missing.map((line) => `${paint('bad', `not run: ${line}`)}\n`).join('')
  return `${formatTable(table, paint)}\n${formatTable(judged, paint)}${left}`
}

const mib = (value: number): string => value.toFixed(0)
