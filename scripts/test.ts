import { spawn } from 'node:child_process'
import { existsSync, globSync, writeFileSync } from 'node:fs'
import { parseArgs, styleText } from 'node:util'
import { tracesOf } from './leftovers.ts'
import { type Failure, type FileDone, type Skip, TapCounter } from './tap-count.ts'

type Outcome = {
  readonly passed: number
  readonly failures: readonly Failure[]
  readonly skips: readonly Skip[]
}
type Stage = { readonly name: string; readonly run: () => Promise<Outcome> }
type Done = Outcome & { readonly name: string; readonly ms: number }
type Ended = { readonly code: number | null; readonly output: string; readonly stderr: string }

// These touch nothing but their arguments, so their files may run beside each other. Every other
// folder makes namespaces or files, and much of it measures time: one file after the other.
const sideBySide = new Set(
  'base cluster wire cni ipam datapath overlay policy flow bgp laws sim'.split(' '),
)
/** Of the rest, those with hosts of their own that measure nothing: most of their time is waiting. */
const inTwos = /^test\/conformance\/(?!shaping|parallel|many-leases)/

const checks: readonly (readonly [name: string, ...command: string[]])[] = [
  ['tsc', 'tsc', '--noEmit'],
  ['biome', 'biome', 'check', '--error-on-warnings', '.'],
  ['rooms', 'node', 'scripts/rooms.mjs'],
  ['tidy', 'node', 'scripts/tidy.mjs'],
]

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: 'string', multiple: true }, json: { type: 'string' } },
  })
  const before = await tracesOf()
  const done: Done[] = []
  for (const stage of plan(values.only ?? [], before)) done.push(await runStage(stage))
  const sum = {
    passed: total(done.map((stage) => stage.passed)),
    failed: total(done.map((stage) => stage.failures.length)),
    skipped: total(done.map((stage) => stage.skips.length)),
  }
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify({ ...sum, stages: done }, undefined, 2)}\n`)
  }
  printSummary(done)
  process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
}

/** The stages in order; `only` names stages, or parts of test files' paths. */
function plan(only: readonly string[], before: ReadonlySet<string>): readonly Stage[] {
  const isNamed = (name: string): boolean => only.length === 0 || only.includes(name)
  const isCheck = (part: string): boolean => checks.some(([name]) => name === part)
  const parts = only.filter((part) => !['build', 'demo'].includes(part) && !isCheck(part))
  const folders = new Map<string, string[]>()
  for (const file of globSync('test/**/*.test.ts').sort()) {
    const folder = file.split('/')[1] ?? ''
    const stage = sideBySide.has(folder) ? 'unit' : folder
    const isAsked = isNamed(stage) || parts.some((part) => file.includes(part))
    if (isAsked) folders.set(stage, [...(folders.get(stage) ?? []), file])
  }
  const unit = folders.get('unit')
  folders.delete('unit')
  const usesExecutable = folders.size > 0 || isNamed('demo')
  // The pure rooms' tests need only what the build generates: any build will do.
  const needsBuild = usesExecutable || isNamed('build') || !existsSync('dist/tulle')
  const stages: Stage[] = []
  if (needsBuild) stages.push(check('build', 'node', 'scripts/build.mjs'))
  for (const [name, ...command] of checks) if (isNamed(name)) stages.push(check(name, ...command))
  if (unit !== undefined) stages.push(tap('unit', unit, ['--jobs=2']))
  for (const [name, files] of folders) stages.push(...folderStages(name, files))
  if (isNamed('demo')) stages.push(check('demo', 'node', 'scripts/demo.ts', '--json'))
  if (isNamed('demo')) stages.push(check('demo policy', 'node', 'scripts/demo-policy.ts', '--json'))
  if (usesExecutable) stages.push({ name: 'leftovers', run: () => leftovers(before) })
  return stages
}

function folderStages(name: string, files: readonly string[]): readonly Stage[] {
  const two = files.filter((file) => inTwos.test(file))
  const one = files.filter((file) => !inTwos.test(file))
  return [
    ...(two.length > 0 ? [tap(name, two, ['--jobs=2'])] : []),
    ...(one.length > 0 ? [tap(name, one, ['--jobs=1'])] : []),
  ]
}

async function runStage({ name, run }: Stage): Promise<Done> {
  console.log(styleText('bold', `── ${name} ${'─'.repeat(60 - name.length)}`))
  const started = performance.now()
  const outcome = await run()
  const ms = performance.now() - started
  for (const failure of outcome.failures) {
    console.log(styleText('red', `  ✗ ${failure.name}`))
    if (failure.details !== '') console.log(failure.details.trimEnd())
  }
  for (const skip of outcome.skips) {
    console.log(styleText('yellow', `  ○ skipped: ${skip.name} (${skip.reason})`))
  }
  if (outcome.failures.length === 0) console.log(styleText('green', `  ✓ ${seconds(ms)}`))
  return { name, ms, ...outcome }
}

/** A stage that passes or fails as a whole: the exit code decides, the output explains. */
function check(name: string, ...command: readonly string[]): Stage {
  const run = async (): Promise<Outcome> => {
    const ended = await runProgram(command, () => {})
    if (ended.code === 0) return { passed: 1, failures: [], skips: [] }
    const failure = { name: `${command.join(' ')}: exit ${ended.code}`, details: ended.output }
    return { passed: 0, failures: [failure], skips: [] }
  }
  return { name, run }
}

/** A stage of test files, counted test by test while tap runs them. */
function tap(name: string, files: readonly string[], options: readonly string[]): Stage {
  const run = async (): Promise<Outcome> => {
    const counter = new TapCounter(printFile)
    const command = ['tap', '-R', 'tap', ...options, ...files]
    const ended = await runProgram(command, (text) => counter.write(text))
    const count = counter.close()
    if (ended.code === 0) return count
    // What a file throws before its first test is nowhere but on stderr.
    if (ended.stderr.trim() !== '') console.log(`  stderr:\n${ended.stderr.trimEnd()}`)
    if (count.failures.length > 0) return count
    const failure = { name: `tap: exit ${ended.code}, no test failed`, details: ended.output }
    return { ...count, failures: [failure] }
  }
  return { name, run }
}

function printFile(done: FileDone): void {
  const counts = [`${done.passed} passed`]
  if (done.failed > 0) counts.push(`${done.failed} failed`)
  if (done.skipped > 0) counts.push(`${done.skipped} skipped`)
  const mark = done.failed > 0 ? styleText('red', '✗') : styleText('green', '✓')
  console.log(`  ${mark} ${done.file.padEnd(48)} ${counts.join(', ')}, ${seconds(done.ms)}`)
  if (done.failed > 0 && done.noise.trim() !== '') {
    console.log(`    printed:\n${done.noise.trimEnd().replace(/^/gm, '      ')}`)
  }
}

/** What this run left on the machine itself; what was there before it is somebody else's. */
async function leftovers(before: ReadonlySet<string>): Promise<Outcome> {
  const left = [...(await tracesOf())].filter((trace) => !before.has(trace))
  const failures = left.map((trace) => ({ name: `left behind: ${trace}`, details: '' }))
  return { passed: failures.length === 0 ? 1 : 0, failures, skips: [] }
}

/** Runs a program of node_modules/.bin or PATH to its end; `read` gets its stdout as it comes. */
function runProgram(command: readonly string[], read: (text: string) => void): Promise<Ended> {
  const [program = '', ...words] = command
  const env = { ...process.env, PATH: `node_modules/.bin:${process.env.PATH}` }
  const child = spawn(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let stderr = ''
  const { promise, resolve, reject } = Promise.withResolvers<Ended>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
    read(text)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text
    stderr += text
  })
  child.on('error', reject)
  child.on('close', (code) => resolve({ code, output, stderr }))
  return promise
}

function printSummary(done: readonly Done[]): void {
  const row = (cells: readonly string[]): string =>
    cells.map((cell, column) => (column === 0 ? cell.padEnd(16) : cell.padStart(10))).join('')
  console.log(styleText('bold', `\n${row(['stage', 'passed', 'failed', 'skipped', 'time'])}`))
  for (const { name, passed, failures, skips, ms } of done) {
    const line = row([name, `${passed}`, `${failures.length}`, `${skips.length}`, seconds(ms)])
    console.log(failures.length > 0 ? styleText('red', line) : line)
  }
  console.log()
  for (const failure of done.flatMap((stage) => stage.failures)) {
    console.log(styleText('red', `✗ ${failure.name}`))
  }
  for (const skip of done.flatMap((stage) => stage.skips)) {
    console.log(styleText('yellow', `○ skipped: ${skip.name} (${skip.reason})`))
  }
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0)
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

main().catch((fault: unknown) => {
  console.error(fault)
  console.log('0 passed, 1 failed, 0 skipped')
  process.exitCode = 1
})
