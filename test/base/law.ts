import fc from 'fast-check'
import type { Test } from 'tap'

/** One assertion for a whole law; where it fails, the message is the smallest case and its seed. */
export function holds<Case>(t: Test, property: fc.IRawProperty<Case>, numRuns = 300): void {
  const details = fc.check(property, { numRuns })
  if (details instanceof Promise) throw new Error('Cannot check a law that waits')
  t.equal(details.failed ? fc.defaultReportMessage(details) : 'holds', 'holds')
}
