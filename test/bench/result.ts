import type { PeerId } from './cases.ts'
import { type Call, residentRound, type Verb } from './job.ts'
import { median, type Summary, summarise } from './statistics.ts'

/** All calls of one verb to one contender. */
export type Row = {
  readonly peer: PeerId
  readonly variant: string
  readonly verb: Verb
  /** Processes started, and those that ended with an error. */
  readonly calls: number
  readonly failed: number
  /** First error, in the program's own words. */
  readonly fault?: string
  /** Of rounds without a failure, in milliseconds; a burst is one sample. */
  readonly samples: readonly number[]
  /** User + system time of the same rounds, of all children and of an agent that helps. */
  readonly cpuSamples: readonly number[]
  readonly time?: Summary
  /** Median of `cpuSamples`. */
  readonly cpuMs?: number
  /** Largest process of the call. */
  readonly rssKiB: number
}

export type CaseResult = {
  readonly id: string
  readonly title: string
  readonly rounds: number
  /** Columns, in order. */
  readonly peers: readonly PeerId[]
  readonly rows: readonly Row[]
  /** What keeps a figure from meaning what its row says. */
  readonly faults: readonly string[]
}

/** Which contender of the job is which row. */
export type Label = {
  readonly peer: PeerId
  readonly variant: string
  readonly verbs: readonly Verb[]
}

/** Measured calls become rows, in the order of the labels; warm-up and resident calls do not. */
export function collectRows(labels: readonly Label[], calls: readonly Call[]): readonly Row[] {
  return labels.flatMap(({ peer, variant, verbs }, contender) =>
    verbs.map((verb) => {
      const own = calls.filter((call) => call.contender === contender && call.verb === verb)
      return { peer, variant, verb, ...figuresOf(own.filter((call) => call.round >= 0)) }
    }),
  )
}

function figuresOf(calls: readonly Call[]): Omit<Row, 'peer' | 'variant' | 'verb'> {
  const good = calls.filter((call) => call.failed === 0)
  const bad = calls.find((call) => call.failed > 0)
  const samples = good.map((call) => call.ms)
  const cpuSamples = good.map((one) => one.userMs + one.systemMs + one.agentMs)
  const time = summarise(samples)
  return {
    calls: calls.reduce((sum, call) => sum + call.count, 0),
    failed: calls.reduce((sum, call) => sum + call.failed, 0),
    ...(bad === undefined ? {} : { fault: explainCall(bad) }),
    samples,
    cpuSamples,
    ...(time === undefined ? {} : { time }),
    ...(good.length === 0 ? {} : { cpuMs: median(cpuSamples) }),
    rssKiB: calls.reduce((most, call) => Math.max(most, call.rssKiB), 0),
  }
}

/** What the program said, on one line of at most 200 characters. */
export function explainCall(call: Call): string {
  const said = `${call.stdout ?? ''} ${call.stderr ?? ''}`.replace(/\s+/g, ' ').trim()
  const ending = (call.exit ?? 0) > 128 ? `signal ${(call.exit ?? 0) - 128}` : `exit ${call.exit}`
  return `${call.verb}: ${ending}: ${said === '' ? 'no text' : said}`.slice(0, 200)
}

/** The resident pod's ADD of each contender, for those who want to see what it got. */
export const residentAdds = (calls: readonly Call[]): readonly Call[] =>
  calls.filter((call) => call.round === residentRound && call.verb === 'ADD')

export type RowName = {
  readonly caseId: string
  readonly peer: PeerId
  readonly verb: Verb
  readonly variant?: string
}

export function findRow(results: readonly CaseResult[], name: RowName): Row | undefined {
  return results
    .find((one) => one.id === name.caseId)
    ?.rows.find(
      (row) =>
        row.peer === name.peer && row.verb === name.verb && row.variant === (name.variant ?? ''),
    )
}
