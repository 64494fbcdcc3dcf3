import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { styleText } from 'node:util'
import { type Failure, type FileDone, type Skip, TapCounter } from './tap-count.ts'

export type Outcome = {
  readonly passed: number
  readonly failures: readonly Failure[]
  readonly skips: readonly Skip[]
}
export type Stage = { readonly name: string; readonly run: () => Promise<Outcome> }
export type Done = Outcome & { readonly name: string; readonly ms: number }
export type Ended = {
  readonly code: number | null
  readonly output: string
  readonly stderr: string
}

/**
 * Runs stages one after the other and tells of them, in the end in a table; the last line is
 * `N passed, N failed, N skipped`, and the exit code says the same.
 */
export class Run {
  readonly #done: Done[] = []

  async run(stage: Stage): Promise<Done> {
    const done = await runStage(stage)
    this.#done.push(done)
    return done
  }

  /** Prints the table; `json` names a file for every stage, failure and skip. */
  finish(json?: string): void {
    const done = this.#done
    const sum = {
      passed: total(done.map((stage) => stage.passed)),
      failed: total(done.map((stage) => stage.failures.length)),
      skipped: total(done.map((stage) => stage.skips.length)),
    }
    if (json !== undefined) {
      writeFileSync(json, `${JSON.stringify({ ...sum, stages: done }, undefined, 2)}\n`)
    }
    printSummary(done)
    process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0
    console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`)
  }
}

/** For what is thrown outside any stage: the last line is there all the same. */
export function failWhole(fault: unknown): void {
  console.error(fault)
  console.log('0 passed, 1 failed, 0 skipped')
  process.exitCode = 1
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
export function check(name: string, ...command: readonly string[]): Stage {
  const run = async (): Promise<Outcome> => {
    const ended = await runProgram(command, () => {})
    if (ended.code === 0) return { passed: 1, failures: [], skips: [] }
    const failure = { name: `${command.join(' ')}: exit ${ended.code}`, details: ended.output }
    return { passed: 0, failures: [failure], skips: [] }
  }
  return { name, run }
}

/** A stage of test files, counted test by test while tap runs them. */
export function tap(name: string, files: readonly string[], options: readonly string[]): Stage {
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

/** Runs a program of node_modules/.bin or PATH to its end; `read` gets its stdout as it comes. */
export function runProgram(
  command: readonly string[],
  read: (text: string) => void,
): Promise<Ended> {
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
