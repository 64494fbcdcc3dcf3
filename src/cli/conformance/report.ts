import type { CniVersion } from '../../cni/version.ts'
import { formatColumns, formatTable } from '../table.ts'
import type { Case, Outcome } from './case.ts'

const marks = { pass: 'pass', fail: 'FAIL', 'not applicable': '-' } as const
const colours = { pass: 32, FAIL: 31 } as const

type Style = { readonly isTerminal: boolean }

/** Case by version, and below it what was found for each fail. */
export function formatOutcomes(
  outcomes: readonly Outcome[],
  versions: readonly CniVersion[],
  style: Style,
): string {
  const byCase = Map.groupBy(outcomes, (outcome) => outcome.case)
  const rows = [...byCase].map(([one, own]) => [
    one.name,
    one.basis,
    ...versions.map((version) => markOf(own.find((outcome) => outcome.version === version))),
  ])
  const table = formatTable(['CASE', 'BASIS', ...versions], rows, style)
  const details = `${skipsOf(outcomes)}${failsOf(byCase, style)}`
  return `${coloured(table, style)}\n${details}${summaryOf(outcomes)}\n`
}

const markOf = (outcome: Outcome | undefined): string => (outcome ? marks[outcome.verdict] : '')

const coloured = (text: string, { isTerminal }: Style): string =>
  isTerminal
    ? text.replace(/\b(pass|FAIL)\b/g, (word) => paint(word, colours[word as 'pass' | 'FAIL']))
    : text

const paint = (text: string, colour: number): string => `\x1b[${colour}m${text}\x1b[39m`

/** What differs from run to run: names of pods, and those that plugins make up. */
const chosenName = /conformance-\d+|[0-9a-f]{8,}/g

/** "-" in the table, and why. */
function skipsOf(outcomes: readonly Outcome[]): string {
  const skipped = outcomes.filter(({ verdict }) => verdict === 'not applicable')
  const texts = [...Map.groupBy(skipped, ({ reasons }) => reasons.join('; '))].map(
    ([reason, own]) =>
      `- ${[...new Set(own.map((outcome) => outcome.case.name))].join(', ')}: ${reason}\n`,
  )
  return texts.length === 0 ? '' : `${texts.join('')}\n`
}

function failsOf(byCase: ReadonlyMap<Case, readonly Outcome[]>, style: Style): string {
  const texts = [...byCase].flatMap(([one, own]) => {
    const groups = Map.groupBy(
      own.filter(({ verdict }) => verdict === 'fail'),
      ({ reasons }) => reasons.join('\n').replaceAll(chosenName, 'N'),
    )
    if (groups.size === 0) return []
    const found = [...groups.values()].map((group) => {
      const lines = (group[0]?.reasons ?? []).map((reason) => [`    ${reason}`])
      return `  ${group.map(({ version }) => version).join(', ')}:\n${formatColumns(lines)}`
    })
    return [`${coloured('FAIL', style)} ${one.name}: ${one.text} (${one.basis})\n${found.join('')}`]
  })
  return texts.length === 0 ? '' : `${texts.join('')}\n`
}

export function countOf(outcomes: readonly Outcome[], verdict: Outcome['verdict']): number {
  return outcomes.filter((outcome) => outcome.verdict === verdict).length
}

const summaryOf = (outcomes: readonly Outcome[]): string =>
  `${countOf(outcomes, 'pass')} passed, ${countOf(outcomes, 'fail')} failed, ` +
  `${countOf(outcomes, 'not applicable')} not applicable`

export const toJson = (plugin: string, outcomes: readonly Outcome[]): object => ({
  plugin,
  passed: countOf(outcomes, 'pass'),
  failed: countOf(outcomes, 'fail'),
  notApplicable: countOf(outcomes, 'not applicable'),
  outcomes: outcomes.map((outcome) => ({
    case: outcome.case.name,
    text: outcome.case.text,
    basis: outcome.case.basis,
    version: outcome.version,
    verdict: outcome.verdict,
    reasons: outcome.reasons,
  })),
})
