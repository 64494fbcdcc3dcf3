import type { Outcome } from './case.ts'
import { countOf } from './report.ts'

/** JUnit XML as CI systems read it: a suite a version, a test case a case. */
export function formatJunit(plugin: string, outcomes: readonly Outcome[]): string {
  const suites = [...Map.groupBy(outcomes, ({ version }) => version)].map(
    ([version, own]) =>
      `  <testsuite name="${xmlText(`CNI ${version}`)}" ${countsOf(own)}>\n` +
      `${own.map((outcome) => testcase(plugin, outcome)).join('')}  </testsuite>\n`,
  )
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    `<testsuites name="${xmlText(plugin)}" ${countsOf(outcomes)}>\n` +
    `${suites.join('')}</testsuites>\n`
  )
}

const countsOf = (outcomes: readonly Outcome[]): string =>
  `tests="${outcomes.length}" failures="${countOf(outcomes, 'fail')}" ` +
  `skipped="${countOf(outcomes, 'not applicable')}" errors="0"`

function testcase(plugin: string, { case: one, version, verdict, reasons }: Outcome): string {
  const head =
    `    <testcase classname="${xmlText(`${plugin} ${version}`)}" ` +
    `name="${xmlText(`${one.name}: ${one.text}`)}"`
  if (verdict === 'pass') return `${head}/>\n`
  const message = xmlText(reasons.join('; '))
  const inner =
    verdict === 'fail'
      ? `<failure message="${message}">${xmlText(reasons.join('\n'))}</failure>`
      : `<skipped message="${message}"/>`
  return `${head}>${inner}</testcase>\n`
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\n': '&#10;',
}

/** XML 1.0 has no form at all for most control characters (section 2.2); they become `?`. */
const xmlText = (text: string): string =>
  [...text].map((letter) => entities[letter] ?? (isForbidden(letter) ? '?' : letter)).join('')

function isForbidden(letter: string): boolean {
  const point = letter.codePointAt(0) ?? 0
  return (point < 32 && !'\t\r'.includes(letter)) || point === 0xfffe || point === 0xffff
}
