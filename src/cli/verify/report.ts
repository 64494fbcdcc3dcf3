import type { EndMember } from '../../policy/ends.ts'
import type { Comparison, Difference } from '../../policy/kernel-differences.ts'
import type { Desk } from '../command.ts'
import { formatTable, paint } from '../table.ts'
import type { Probed } from './probe.ts'
import type { Fault } from './shape.ts'

export type Report = {
  readonly node: string | undefined
  /** Local pods that were looked at. */
  readonly pods: number
  readonly comparison: Comparison
  readonly faults: readonly Fault[]
  /** Said, and no reason to fail. */
  readonly notes: readonly string[]
  readonly probed: readonly Probed[]
}

export const isWell = ({ comparison, faults, probed }: Report): boolean =>
  comparison.differences.length === 0 &&
  faults.length === 0 &&
  probed.every(({ isExpected }) => isExpected !== false)

export const jsonOf = ({ node, pods, comparison, faults, notes, probed }: Report): string =>
  `${JSON.stringify(
    {
      ...(node === undefined ? {} : { node }),
      pods,
      flows: comparison.flows,
      differences: comparison.differences.map(plainDifference),
      faults,
      notes,
      probes: probed,
    },
    undefined,
    2,
  )}\n`

/** `pods` are this node's, `peers` the other ends. */
function plainDifference({ from, to, direction, rule, example: _, ...rest }: Difference) {
  const [pods, peers] = direction === 'egress' ? [from, to] : [to, from]
  return { pods, direction, peers, ...rest, ...(rule === undefined ? {} : { rule }) }
}

const membersShown = 3

function namesOf(members: readonly EndMember[]): string {
  const shown = members
    .slice(0, membersShown)
    .map(({ name, addresses }) => (name === '' ? addresses : name))
  const more = members.length - shown.length
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

const portsText = ({
  protocol,
  firstPort,
  lastPort,
}: Pick<Difference, 'protocol' | 'firstPort' | 'lastPort'>): string => {
  if (firstPort === 0 && lastPort === 65_535) return protocol
  return `${protocol}/${firstPort === lastPort ? firstPort : `${firstPort}-${lastPort}`}`
}

const rowsShownMax = 50

/** A line for each difference, and what is wrong besides. */
export function textOf(report: Report, desk: Desk): string {
  const { comparison, faults, notes, probed, pods, node } = report
  const { differences, flows } = comparison
  const rows = differences.slice(0, rowsShownMax).map((one) => {
    const [own, peer] = one.direction === 'egress' ? [one.from, one.to] : [one.to, one.from]
    const words = [one.direction, namesOf(peer), portsText(one), one.kernel, one.policy]
    return [namesOf(own), ...words, one.rule ?? '-']
  })
  const heading = ['POD', 'DIRECTION', 'PEER', 'PORT', 'KERNEL', 'POLICY', 'RULE']
  const more = differences.length - rows.length
  const word = paint(isWell(report) ? 'ok' : 'different', isWell(report) ? 'green' : 'red', desk)
  return [
    ...(rows.length > 0 ? [formatTable(heading, rows, desk)] : []),
    ...(more > 0 ? [`and ${more} more; --json has them all\n`] : []),
    ...faults.map(({ kind, text }) => `${paint(kind, 'red', desk)}: ${text}\n`),
    ...notes.map((note) => `note: ${note}\n`),
    ...probed.map(probeLine),
    `${word}: ${differences.length} differences in ${flows} kinds of flows of ${pods} pods`,
    `${node === undefined ? '' : ` on node ${node}`}\n`,
  ].join('')
}

const probeLine = ({ from, to, port, found, isExpected }: Probed): string =>
  `probe ${from} -> ${to} TCP/${port}: ${found}` +
  (isExpected === undefined ? '\n' : `, ${isExpected ? '' : 'not '}as the kernel's rules say\n`)
