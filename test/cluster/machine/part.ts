import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { childOf, startTimeOf } from '../../support/process-id.ts'
import type { Computer } from './computer.ts'
import { places, stateDir } from './places.ts'
import { until } from './until.ts'

const logLinesShown = 25

/**
 * A daemon on a computer: etcd, kubelet … It outlives the process that started it, and is found
 * again by a file: the id and start time of the nsenter that waits for it.
 */
export class Part {
  readonly name: string
  readonly computer: Computer
  readonly logPath: string
  readonly #argv: readonly string[]
  readonly #processPath: string

  constructor(computer: Computer, name: string, argv: readonly string[]) {
    this.computer = computer
    this.name = name
    this.#argv = argv
    const { site } = computer
    this.logPath = join(places.logs, `${site.name}-${name}.log`)
    this.#processPath = join(stateDir, site.name, `${name}.process`)
  }

  /** Starts it, if it does not run; that it answers is for the caller to see. */
  start(): void {
    if (this.isRunning) return
    const log = openSync(this.logPath, 'a')
    const [file = '', ...words] = this.computer.inside(this.#argv)
    const outer = spawn(file, words, { stdio: ['ignore', log, log], detached: true })
    closeSync(log)
    if (outer.pid === undefined) throw new Error(`Cannot start ${this.name}: no ${file} here`)
    outer.unref()
    writeFileSync(this.#processPath, `${outer.pid} ${startTimeOf(outer.pid)}\n`)
  }

  get isRunning(): boolean {
    return this.#outer !== undefined
  }

  /** Its process id as this machine counts, if it runs. */
  get pid(): number | undefined {
    const outer = this.#outer
    return outer === undefined ? undefined : childOf(outer)
  }

  /** SIGTERM and a wait, as a service's end; SIGKILL as the death of it. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const outer = this.#outer
    if (outer === undefined) return
    process.kill(childOf(outer), signal)
    const isGone = (): boolean => !this.isRunning
    await until(`the end of ${this.#title}`, isGone, { limitMs: 30_000, pauseMs: 20 })
    rmSync(this.#processPath, { force: true })
  }

  /** Waits until `ask` says yes, but no longer than the daemon lives. */
  async ready(ask: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
    const orDead = async (): Promise<boolean> => !this.isRunning || (await ask())
    try {
      await until(`${this.#title} to be ready`, orDead, { limitMs, pauseMs: 100 })
    } catch (refusal) {
      throw new Error(`${(refusal as Error).message}\n${this.lastWords()}`, { cause: refusal })
    }
    if (!this.isRunning) throw new Error(`${this.#title} ended; ${this.lastWords()}`)
  }

  /** The end of its log. */
  lastWords(): string {
    const lines = readFileSync(this.logPath, 'utf8').trimEnd().split('\n')
    return [`${this.logPath}:`, ...lines.slice(-logLinesShown)].join('\n')
  }

  get #title(): string {
    return `${this.name} on ${this.computer.site.name}`
  }

  get #outer(): number | undefined {
    if (!existsSync(this.#processPath)) return undefined
    const [pid = '', started] = readFileSync(this.#processPath, 'utf8').trim().split(' ')
    return startTimeOf(Number(pid)) === started ? Number(pid) : undefined
  }
}
