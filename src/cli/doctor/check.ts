import { listed as listedNames } from '../../base/listed.ts'
import type { Facts } from './facts.ts'

/** `unknown`: it could not be looked at, and `found` says why. */
export type Verdict = 'ok' | 'warning' | 'error' | 'unknown'

/** One thing that was looked at. */
export type Examined = {
  /** Kebab-case; the same as in the agent's findings where both look at it. */
  readonly check: string
  readonly verdict: Verdict
  readonly found: string
  /** What it leads to; of warnings and errors. */
  readonly meaning?: string
  readonly remedy?: string
}

/** Looks at what is known of the node; what does not concern this node gives nothing. */
export type Check = (facts: Facts) => readonly Examined[]

type Trouble = Readonly<Record<'found' | 'meaning' | 'remedy', string>>

export const ok = (check: string, found: string): Examined => ({ check, verdict: 'ok', found })
export const unknown = (check: string, found: string): Examined => ({
  check,
  verdict: 'unknown',
  found,
})
export const warning = (check: string, trouble: Trouble): Examined => ({
  check,
  verdict: 'warning',
  ...trouble,
})
export const error = (check: string, trouble: Trouble): Examined => ({
  check,
  verdict: 'error',
  ...trouble,
})

/** "a, b, c and 4 more". */
export const listed = (names: readonly string[], max = 5): string => listedNames(names, max)
