import type { Ran } from '../support/netns.ts'

export type Outcome = Readonly<{
  case: string
  version: string
  verdict: 'pass' | 'fail' | 'not applicable'
  reasons: readonly string[]
}>
export type Examined = Readonly<{ passed: number; failed: number; outcomes: readonly Outcome[] }>

/** What `tulle conformance --json` printed. */
export const parsed = ({ stdout, stderr }: Ran): Examined => {
  if (stdout === '') throw new Error(stderr)
  return JSON.parse(stdout) as Examined
}

/** "case version: reasons" of each fail. */
export const failsOf = ({ outcomes }: Examined): readonly string[] =>
  outcomes
    .filter(({ verdict }) => verdict === 'fail')
    .map(({ case: name, version, reasons }) => `${name} ${version}: ${reasons.join('; ')}`)
