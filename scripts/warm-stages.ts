import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Outcome, type Stage, tap } from './stages.ts'

/**
 * The conformance files again, their calls through the launcher: all of them with a server, and a
 * handful where nobody, somebody who hangs, or another build is at the socket. What looks at the
 * plugin's process has no second way to go, and what measures time is the bench's. Unless
 * they are asked for by name: of those with a server the half that tells most.
 */
export function warmStages(only: readonly string[]): readonly Stage[] {
  const all = globSync('test/conformance/*.test.ts').sort()
  const ofProcess = all.filter((file) => /\/(kill|refused|overlay-kill|programs)/.test(file))
  const measured = all.filter((file) => /\/(shaping|many-leases|store)/.test(file))
  const fit = all.filter((file) => !ofProcess.includes(file) && !measured.includes(file))
  const up = only.includes(wholeName) ? fit : fit.filter((file) => often.test(file))
  console.log(`not through the launcher: ${[...ofProcess, ...measured].join(', ')}`)
  const few = all.filter((file) => /\/(again|chain|delete|loopback|status)\./.test(file))
  return [
    warm('up', up),
    ...(['down', 'hung', 'other-build'] as const).map((kind) => warm(kind, few)),
  ]
}

const wholeName = 'suites-warm'
const oftenNames = [
  'again', 'attach', 'bridge', 'chain', 'delete', 'differential', 'host-ports', 'isolation',
  'loopback', 'masquerade', 'parallel', 'policy-closed', 'policy-verdict', 'reach', 'requested',
  'results', 'spoof', 'status',
] // biome-ignore format: a list
const often = new RegExp(`/(${oftenNames.join('|')})\\.`)

function warm(kind: string, files: readonly string[]): Stage {
  const stage = tap(`suites-warm ${kind}`, files, ['--jobs=2'])
  const run = async (): Promise<Outcome> => {
    const folder = mkdtempSync(join(tmpdir(), 'tulle-warm-'))
    const report = join(folder, 'report')
    Object.assign(process.env, { TULLE_WARM: kind, TULLE_WARM_REPORT: report })
    try {
      const outcome = await stage.run()
      const lines = readFileSync(report, 'utf8').trim().split('\n')
      const told = lines.map((line) => JSON.parse(line) as WarmReport)
      const sum = (of: (one: WarmReport) => number): number =>
        told.reduce((before, one) => before + of(one), 0)
      const calls = sum((one) => one.calls)
      const started = sum((one) => countsOf(one.started))
      const cold = sum((one) => countsOf(one.cold))
      console.log(`  ${calls} calls through the launcher, ${started} of Node; ${cold} traced, cold`)
      // With a server most calls are its own, else the suite would show nothing; else none is.
      const isFit = kind === 'up' ? started < calls / 2 : started >= calls
      if (isFit) return { ...outcome, passed: outcome.passed + 1 }
      const name = `suites-warm ${kind}: ${started} of ${calls} were Node's`
      const failure = { name, details: '' }
      return { ...outcome, failures: [...outcome.failures, failure] }
    } finally {
      delete process.env.TULLE_WARM
      delete process.env.TULLE_WARM_REPORT
      rmSync(folder, { recursive: true, force: true })
    }
  }
  return { name: stage.name, run }
}

/** A line of TULLE_WARM_REPORT (test/support/warmth.ts). */
type WarmReport = {
  readonly calls: number
  readonly started: Readonly<Record<string, number>>
  readonly cold: Readonly<Record<string, number>>
}
const countsOf = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, one) => sum + one, 0)
