import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AgentStatus } from '../../src/serve/agent-status.ts'
import { executable } from '../support/cni.ts'
import type { Netns } from '../support/netns.ts'
import { until as untilWithin } from '../support/until.ts'

/** How long a test waits for what has to come; past this it hangs. */
const patience = { limitMs: 20_000, pauseMs: 20 }

/** Waits until `check` answers something; what it last threw, or `what`, if that never comes. */
export const until = <T>(what: string, check: () => T | Promise<T>): Promise<NonNullable<T>> =>
  untilWithin(what, check, patience)

/** The packaged executable as an agent in a node's namespace, its files in a folder of its own. */
export class RunningAgent {
  readonly folder: string
  readonly #netns: Netns
  readonly #words: readonly string[]
  #process: ChildProcess | undefined
  #lines: string[] = []

  /** @param disk the folder of an earlier agent, to begin with what it left */
  constructor(netns: Netns, nodeName: string, words: readonly string[], disk?: string) {
    this.folder = disk ?? mkdtempSync(join(tmpdir(), 'tt-agent-'))
    this.#netns = netns
    const at = (name: string): string => join(this.folder, name)
    const own = ['--node-name', nodeName, '--run-dir', at('run'), '--state-dir', at('state')]
    const network = ['--data-dir', at('data'), '--bin-dir', at('bin'), '--conflist', '']
    this.#words = [...own, ...network, '--metrics', '', '--patience-seconds', '1', ...words]
  }

  get pid(): number {
    return this.#process?.pid ?? 0
  }

  /** What it logged, since it was started first. */
  get log(): readonly string[] {
    return this.#lines
  }

  start(more: readonly string[] = []): this {
    const words = ['agent', ...this.#words, ...more]
    // A test that is killed takes its agents along.
    const last = ['setpriv', '--pdeathsig', 'KILL', executable]
    const child = spawn('nsenter', [`--net=${this.#netns.path}`, ...last, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH },
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => this.#lines.push(...text.split('\n').filter(Boolean)))
    }
    this.#process = child
    return this
  }

  status(): Promise<AgentStatus> {
    return this.get('/status').then(({ body }) => JSON.parse(body) as AgentStatus)
  }

  get(path: string): Promise<{ readonly code: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const socketPath = join(this.folder, 'run', 'agent.sock')
      request({ socketPath, path, agent: false }, (response) => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (part: string) => {
          body += part
        })
        response.on('end', () => resolve({ code: response.statusCode ?? 0, body }))
      })
        .on('error', reject)
        .end()
    })
  }

  /** Ready, and nothing left to do. */
  async ready(): Promise<AgentStatus> {
    let last: AgentStatus | undefined
    return until('an agent that is ready', async () => {
      last = await this.status()
      return last.ready && last.convergence.pending === undefined ? last : undefined
    }).catch((cause: unknown) => {
      const said = this.#lines.join('\n')
      throw new Error(`The agent is not ready: ${JSON.stringify(last)}; it said ${said}`, { cause })
    })
  }

  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    this.#process?.kill(signal)
    return this.ended()
  }

  /** Exit code, or the signal that ended it: of itself, or by `end`. */
  async ended(): Promise<number | NodeJS.Signals | null> {
    const child = this.#process
    this.#process = undefined
    if (!child) return null
    if (child.exitCode !== null || child.signalCode !== null)
      return child.exitCode ?? child.signalCode
    return new Promise((resolve) => child.once('exit', (code, by) => resolve(code ?? by)))
  }

  async close(): Promise<void> {
    await this.end('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export const writeNodes = (path: string, nodes: readonly object[]): void =>
  writeFileSync(path, JSON.stringify({ nodes }))
