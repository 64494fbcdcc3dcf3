import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import { join } from 'node:path'
import { run } from '../support/netns.ts'
import { type Case, type PeerId, planCases } from './cases.ts'
import { measure } from './harness.ts'
import { type Options, parseOptions } from './options.ts'
import { findPeers, type Peers } from './peers.ts'
import { Progress } from './progress.ts'
import { formatRun, type Run } from './report.ts'
import { type CaseResult, collectRows } from './result.ts'
import { type Contenders, Stage, type StageTools } from './stage.ts'
import { colourPaint, plainPaint } from './table.ts'
import { evaluateTargets, rules } from './targets.ts'
import {
  compileChain,
  compileFloor,
  compileHarness,
  compileRtt,
  pathWithIptables,
} from './toolchain.ts'
import type { FloorCase } from './warm/cases.ts'
import { measureFloors } from './warm/floor.ts'
import { WarmStage } from './warm/stage.ts'

/** On disk, as a node's /var/lib is: a store's fsync must cost here what it costs there. */
const workParent = '/var/tmp'

/** The slowest call that was seen, 200 reference ADDs with masquerade, takes half of the limit. */
const usual = { limitSeconds: 120, order: 'verbs' } as const

type Bench = {
  readonly harness: string
  readonly peers: Peers
  readonly workDirectory: string
  /** The chain's runner. */
  readonly chain: string
  readonly rtt: string
  readonly paths: StageTools['paths']
  readonly progress: Progress
  readonly signal: AbortSignal
}

async function main(): Promise<number> {
  const parsed = parseOptions(process.argv.slice(2))
  if ('say' in parsed) {
    ;(parsed.code === 0 ? process.stdout : process.stderr).write(parsed.say)
    return parsed.code
  }
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(name, () => stop.abort(new Error(`stopped by ${name}`)))
  const workDirectory = mkdtempSync(join(workParent, 'tulle-bench-'))
  const progress = new Progress(process.stderr, () => performance.now())
  try {
    const result = await bench(parsed.options, workDirectory, progress, stop.signal)
    progress.close()
    process.stdout.write(render(result, parsed.options))
    return result.notRun.length === 0 ? 0 : 1
  } catch (fault) {
    if (!stop.signal.aborted) throw fault
    process.stderr.write(`\nbench: ${(stop.signal.reason as Error).message}\n`)
    return 130
  } finally {
    rmSync(workDirectory, { recursive: true, force: true })
  }
}

async function bench(
  options: Options,
  workDirectory: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<Run> {
  const machine = describeMachine(workDirectory)
  progress.begin('compiling the harness, looking for the peers')
  mkdirSync(join(workDirectory, 'pods'))
  const emptyScript = join(workDirectory, 'empty.cjs')
  writeFileSync(emptyScript, '')
  const peers = await findPeers(compileFloor(workDirectory), emptyScript, workDirectory)
  const tools: Bench = {
    harness: compileHarness(workDirectory),
    peers,
    workDirectory,
    chain: compileChain(workDirectory),
    rtt: compileRtt(workDirectory),
    paths: {
      nft: pathWithIptables('nft', workDirectory),
      legacy: pathWithIptables('legacy', workDirectory),
    },
    progress,
    signal,
  }
  const planned = planCases(options.effort, options.only)
  const cases: CaseResult[] = []
  for (const [place, one] of planned.entries())
    cases.push(await runCase(one, `${place + 1}/${planned.length} ${one.id}`, tools))
  return {
    machine,
    effort: options.effort,
    peers: peers.notes,
    cases,
    targets: evaluateTargets(rules, cases),
    notRun: [
      ...peers.notes.flatMap(({ label, missing }) => (missing ? [`${label}: ${missing}`] : [])),
      ...cases.flatMap(unmeasured),
      ...(planned.length === 0 ? [`no case has "${options.only}" in its name`] : []),
    ],
  }
}

async function runCase(planned: Case, name: string, tools: Bench): Promise<CaseResult> {
  const { harness, workDirectory, progress, signal } = tools
  signal.throwIfAborted()
  progress.begin(`${name}: ${planned.rounds} rounds`)
  if (planned.kind === 'floor')
    return measureFloors(planned, workDirectory, (round) =>
      progress.update(`${name}: round ${round} of ${planned.rounds}`),
    )
  const stage = await prepare(planned, tools)
  try {
    const { contenders, labels } = stage
    const { rounds, warmup } = planned
    const pods = join(workDirectory, 'pods')
    const how = planned.kind === 'warm' ? planned.how : usual
    const job = { pods, rounds, warmup, seed: 1, ...how, contenders }
    const { calls, fault } = await measure(
      harness,
      job,
      ({ round, contender, verb }) => {
        const done = `${contenders[contender]?.name} ${verb}`
        progress.update(`${name}: round ${Math.max(round + 1, 0)} of ${rounds}: ${done}`)
      },
      signal,
    )
    return {
      id: planned.id,
      title: planned.title,
      rounds,
      peers: stage.peers,
      rows: collectRows(labels, calls),
      faults: [...(fault === undefined ? [] : [fault]), ...stage.faultsOf(calls)],
    }
  } finally {
    await stage.close()
  }
}

const prepare = async (planned: Exclude<Case, FloorCase>, tools: Bench): Promise<Contenders> =>
  planned.kind === 'warm' ? WarmStage.open(planned, tools) : new Stage(planned, tools)

/** Rows without one good call, and any call of ours that failed. */
const unmeasured = (one: CaseResult): readonly string[] => [
  ...one.faults.map((fault) => `${one.id}: ${fault}`),
  ...one.rows.flatMap(({ peer, verb, variant, time, failed, fault }) =>
    time === undefined || (isOwn(peer) && failed > 0)
      ? [`${one.id}: ${peer} ${verb} ${variant}: ${fault ?? 'no call was made'}`]
      : [],
  ),
]

const isOwn = (peer: PeerId): boolean => peer === 'tulle' || peer === 'warm'

function describeMachine(directory: string): Run['machine'] {
  const load = loadavg()[0]!
  return {
    kernel: release(),
    CPUs: cpus().length,
    load: load.toFixed(2) + (load > 0.5 ? ' (others are at work: figures are disturbed)' : ''),
    node: process.version,
    store: run(['stat', '-f', '-c', '%T', directory]).stdout.trim(),
    iptables: run(['/usr/sbin/iptables-nft', '-V']).stdout.trim().replace('iptables ', ''),
  }
}

function render(result: Run, options: Options): string {
  if (options.output === 'json') return `${JSON.stringify(result, null, 2)}\n`
  const colour = process.stdout.isTTY && !process.env.NO_COLOR
  return `${formatRun(result, colour ? colourPaint : plainPaint)}\n`
}

process.exitCode = await main()
