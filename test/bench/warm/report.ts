import type { PeerId } from '../cases.ts'
import type { PeerNote, Run } from '../report.ts'
import type { CaseResult, Row } from '../result.ts'
import { median } from '../statistics.ts'
import { type Cell, cell, formatMs, formatRatio, type Table } from '../table.ts'
import { burstId, oneByOneId } from './cases.ts'

/** What rows of the warm cases come to: calls a second, and CPU time of many. */
export const warmTables = (run: Run): readonly Table[] =>
  run.cases.flatMap((one) => {
    if (one.id === burstId) return [ratesTable(one, run.peers)]
    return one.id === oneByOneId ? [statusTable(one, run.peers)] : []
  })

const secondsPerDay = 86_400
/** containerd asks so often, for ever. */
const statusEverySeconds = 5

/** Seconds of CPU time that STATUS takes in a day. */
export const statusSecondsPerDay = (cpuMs: number): number =>
  (cpuMs / 1000) * (secondsPerDay / statusEverySeconds)

/** Calls that were started together, of a row without failures. */
const burstOf = ({ calls, samples }: Row): number => calls / samples.length

export const callsPerSecond = (row: Row): number => (burstOf(row) * 1000) / median(row.samples)

/** Seconds of CPU time of a thousand calls. */
export const cpuSecondsPer1000 = (row: Row): number => median(row.cpuSamples) / burstOf(row)

function ratesTable(result: CaseResult, notes: readonly PeerNote[]): Table {
  return {
    ...frame(result, notes, 'Calls a second / CPU seconds of 1,000 calls'),
    rows: rowsOf(result, ['ADD', 'DEL'], (row, own) => {
      if (row.peer === 'floor') return cell(formatCount(callsPerSecond(row)), 'dim')
      const [rate, cpu] = [callsPerSecond(row), cpuSecondsPer1000(row)]
      const text = `${formatCount(rate)} / ${formatMs(cpu)}`
      if (own === undefined || own === row) return cell(text)
      return cell(`${text}  ${formatRatio(cpuSecondsPer1000(own) / cpu).padStart(6)}`)
    }),
    notes: [
      'calls at once ÷ the wall time of all; N× = warm’s CPU time ÷ this one’s, agent included',
    ],
  }
}

function statusTable(result: CaseResult, notes: readonly PeerNote[]): Table {
  return {
    ...frame(result, notes, `STATUS every ${statusEverySeconds} s: CPU seconds a day`),
    rows: rowsOf(result, ['STATUS'], (row) =>
      cell(formatMs(statusSecondsPerDay(median(row.cpuSamples)))),
    ),
    notes: ['of the chain: all five plugins are asked, as runtimes do'],
  }
}

const frame = (result: CaseResult, notes: readonly PeerNote[], title: string) => ({
  title: `${title} (${result.id})`,
  columns: ['', ...result.peers.map((id) => labelOf(notes, id))],
})

/** A line for each verb and variant of which there is anything to tell. */
function rowsOf(
  { rows, peers }: CaseResult,
  verbs: readonly Row['verb'][],
  show: (row: Row, own: Row | undefined) => Cell,
): Table['rows'] {
  const good = rows.filter(
    ({ verb, samples, failed }) => verbs.includes(verb) && samples.length > 0 && failed === 0,
  )
  const titles = [...new Set(good.map(titleOf))]
  return titles.map((title) => {
    const find = (peer: PeerId): Row | undefined =>
      good.find((row) => row.peer === peer && titleOf(row) === title)
    const cells = peers.map((peer) => {
      const row = find(peer)
      return row === undefined ? cell('–', 'dim') : show(row, find('warm'))
    })
    return [cell(title), ...cells]
  })
}

const titleOf = ({ verb, variant }: Row): string => `${verb}, ${variant}`

const labelOf = (notes: readonly PeerNote[], id: PeerId): string =>
  notes.find((note) => note.id === id)?.label ?? id

/** 8.4, 250, 1,846. */
const formatCount = (count: number): string =>
  count < 10 ? count.toFixed(1) : Math.round(count).toLocaleString('en-GB')
