import type { PeerId } from './cases.ts'
import { type CaseResult, findRow, type Row } from './result.ts'
import type { Summary } from './statistics.ts'
import {
  type Cell,
  cell,
  formatMs,
  formatRatio,
  formatTable,
  type Paint,
  type Table,
} from './table.ts'
import { notRun, type Target } from './targets.ts'
import { oneByOneId, outfitWords } from './warm/cases.ts'
import { warmTables } from './warm/report.ts'

export type PeerNote = {
  readonly id: PeerId
  /** Column heading. */
  readonly label: string
  /** Bytes of all files that one call runs; absent when it has none of its own. */
  readonly sizeBytes?: number
  /** Why it is not in the tables. */
  readonly missing?: string
}

export type Run = {
  readonly machine: Readonly<Record<string, string | number>>
  readonly effort: 'full' | 'quick'
  readonly peers: readonly PeerNote[]
  readonly cases: readonly CaseResult[]
  readonly targets: readonly Target[]
  /** What could not run at all. */
  readonly notRun: readonly string[]
}

const legend = [
  'Cells: p50 / p95 of exec to exit in ms, interleaved runs in random order; ' +
    'N× = Tulle’s p50 ÷ this one’s.',
  'Every contender has a node namespace of its own, in which one more pod stays attached, ' +
    'as on a node in use.',
  'kernel floor: the same links, addresses, routes and set elements by netlink alone, ' +
    'timed inside; no lease.',
  'warm: by the launcher, with an agent in the node; the agent’s CPU time is part of a call’s. ' +
    'tulle: no agent.',
]

export function formatRun(run: Run, paint: Paint): string {
  const facts = Object.entries(run.machine).map(([name, value]) => `${name} ${value}`)
  const missing = run.peers.flatMap((peer) =>
    peer.missing === undefined ? [] : [paint('bad', `${peer.label}: not here: ${peer.missing}`)],
  )
  return [
    paint('strong', 'Tulle beside its peers'),
    paint('dim', facts.join(' · ')),
    ...legend.map((line) => paint('dim', line)),
    ...missing,
    '',
    ...run.cases.map((one) => formatTable(caseTable(one, run.peers), paint)),
    ...[...warmTables(run), weightTable(run)].flatMap((table) =>
      table.rows.length === 0 ? [] : [formatTable(table, paint)],
    ),
    formatTable(targetTable(run), paint),
    ...run.notRun.map((line) => paint('bad', `not run: ${line}`)),
  ].join('\n')
}

// ---- a case ------------------------------------------------------------------------------------

function caseTable(result: CaseResult, peers: readonly PeerNote[]): Table {
  const keys = [...new Map(result.rows.map((row) => [rowTitle(row), row])).values()]
  const hasCpu = result.peers.some((peer) => peer !== 'floor')
  const faults = result.rows.flatMap((row) =>
    row.fault === undefined ? [] : [`${labelOf(peers, row.peer)} ${rowTitle(row)}: ${row.fault}`],
  )
  return {
    title: `${result.title} (${result.id}, ${result.rounds} rounds)`,
    columns: ['', ...result.peers.map((peer) => labelOf(peers, peer))],
    rows: keys.flatMap((key) => [
      [cell(rowTitle(key)), ...result.peers.map((peer) => timeCell(result, peer, key))],
      ...(hasCpu && (key.verb === 'ADD' || key.verb === 'DEL') ? [cpuRow(result, key)] : []),
    ]),
    notes: [...result.faults, ...faults],
  }
}

const rowTitle = (row: Row): string =>
  row.variant === '' ? row.verb : `${row.verb}, ${row.variant}`

const labelOf = (peers: readonly PeerNote[], id: PeerId): string =>
  peers.find((peer) => peer.id === id)?.label ?? id

const rowOf = (result: CaseResult, peer: PeerId, key: Row): Row | undefined =>
  findRow([result], { caseId: result.id, peer, verb: key.verb, variant: key.variant })

/** The column that the others are compared with. */
const ownOf = ({ peers }: CaseResult): PeerId => (peers.includes('warm') ? 'warm' : 'tulle')

function timeCell(result: CaseResult, peer: PeerId, key: Row): Cell {
  const row = rowOf(result, peer, key)
  if (row === undefined || row.calls === 0) return cell('–', 'dim')
  const failures = row.failed > 0 ? `${row.failed} of ${row.calls} failed` : ''
  if (row.time === undefined) return cell(failures, 'bad')
  const own = rowOf(result, ownOf(result), key)?.time
  const times = formatTimes(row.time)
  if (failures !== '') return cell(`${failures}; ${times}`, 'bad')
  if (peer === ownOf(result) || own === undefined) return cell(times)
  const ratio = own.p50 / row.time.p50
  return cell(`${times}  ${formatRatio(ratio).padStart(6)}`, ratio <= 1 ? 'good' : 'plain')
}

/** Too few samples have no 95th percentile. */
const samplesMin = 5

const formatTimes = ({ count, p50, p95 }: Summary): string =>
  count < samplesMin ? formatMs(p50) : `${formatMs(p50)} / ${formatMs(p95)}`

const cpuRow = (result: CaseResult, key: Row): readonly Cell[] => [
  cell('  CPU time', 'dim'),
  ...result.peers.map((peer) => {
    const cpu = peer === 'floor' ? undefined : rowOf(result, peer, key)?.cpuMs
    const own = rowOf(result, ownOf(result), key)?.cpuMs
    if (cpu === undefined) return cell('–', 'dim')
    if (peer === ownOf(result) || own === undefined) return cell(formatMs(cpu), 'dim')
    return cell(`${formatMs(cpu)}  ${formatRatio(own / cpu).padStart(6)}`, 'dim')
  }),
]

// ---- size and memory ---------------------------------------------------------------------------

const weighed = ['warm', 'tulle', 'newest', 'debian', 'node'] as const
const memoryRows = [
  { text: 'peak memory, VERSION', caseId: 'start', verb: 'VERSION' },
  { text: 'peak memory, ADD routed', caseId: 'routed', verb: 'ADD' },
  { text: 'peak memory, ADD bridge with masquerade', caseId: 'bridge-masq', verb: 'ADD' },
  { text: 'peak memory, ADD full', caseId: oneByOneId, verb: 'ADD', variant: outfitWords.full },
] as const

function weightTable(run: Run): Table {
  const present = weighed.filter((id) =>
    run.peers.some((peer) => peer.id === id && peer.missing === undefined),
  )
  const sizes = present.map((id) => run.peers.find((peer) => peer.id === id)?.sizeBytes)
  const memory = memoryRows.flatMap(({ text, ...name }) => {
    const found = present.map((peer) => findRow(run.cases, { ...name, peer })?.rssKiB)
    return found.some((value) => value !== undefined) ? [[cell(text), ...found.map(kibCell)]] : []
  })
  return {
    title: 'Size and memory, MB',
    columns: ['', ...present.map((id) => labelOf(run.peers, id))],
    rows: [[cell('files that a call runs'), ...sizes.map((size) => bytesCell(size))], ...memory],
    notes: [
      'peak memory: resident pages of the largest process of the call, shared file pages too',
    ],
  }
}

const bytesCell = (bytes: number | undefined): Cell =>
  bytes === undefined ? cell('–', 'dim') : cell((bytes / 1e6).toFixed(1))

const kibCell = (kib: number | undefined): Cell =>
  bytesCell(kib === undefined ? undefined : kib * 1024)

// ---- targets -----------------------------------------------------------------------------------

function targetTable(run: Run): Table {
  return {
    title: 'Targets',
    columns: ['', 'state', 'limit', 'measured', '95 % interval', 'medians, ms', ''],
    rows: run.targets.map((target) => targetRow(target, run.peers)),
    notes: [
      ...run.targets.flatMap((one) =>
        one.state === 'not measured' && one.reason !== notRun
          ? [`${one.text}: not measured: ${one.reason}`]
          : [],
      ),
      ...(run.effort === 'quick' ? ['a quick run: too few rounds to judge by'] : []),
    ],
  }
}

function targetRow(target: Target, peers: readonly PeerNote[]): readonly Cell[] {
  const show = (value: number): string =>
    target.figure === 'ratio' ? formatRatio(value) : `${formatMs(value)} ms`
  const limit = cell(`≤ ${show(target.limit)}`)
  if (target.state === 'not measured')
    return [
      cell(target.text),
      target.reason === notRun ? cell('left out', 'dim') : cell('not measured', 'bad'),
      limit,
      cell('–', 'dim'),
    ]
  const { low, high } = target.interval
  const beside = target.beside
  return [
    cell(target.text),
    target.state === 'met' ? cell('met', 'good') : cell('MISSED', 'bad'),
    limit,
    cell(show(target.value)),
    cell(`${show(low)} … ${show(high)}`, 'dim'),
    cell([target.left, target.right ?? []].flat().map(formatMs).join(' : '), 'dim'),
    cell(beside ? `${labelOf(peers, beside.peer)}: ${show(beside.value)}` : '', 'dim'),
  ]
}
