import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

const worker = fileURLToPath(new URL('worker.ts', import.meta.url))

export type What = 'hammer' | 'loop' | 'sit' | 'once'

export const workerWords = (what: What, ...rest: readonly string[]): readonly string[] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  worker,
  what,
  ...rest,
]

export type Ended = Readonly<{
  code: number | null
  signal: string | null
  stdout: string
  stderr: string
}>

/** A worker at work on a store, beside this process. */
export class Worker {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  #stdout = ''
  #stderr = ''
  readonly #ended: Promise<Ended>

  constructor(what: What, ...rest: readonly string[]) {
    const [file = '', ...words] = workerWords(what, ...rest)
    this.#child = spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text
    })
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    this.#ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject)
      this.#child.on('close', (code, signal) =>
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr }),
      )
    })
  }

  /** The first line that it says; an error if it ends without one. */
  async firstLine(): Promise<string> {
    const said = new Promise<undefined>((resolve) =>
      this.#child.stdout.on('data', () => this.#stdout.includes('\n') && resolve(undefined)),
    )
    const ended = await Promise.race([said, this.#ended])
    if (ended !== undefined) throw new Error(`Cannot start a worker: ${ended.stderr}`)
    return this.#stdout.split('\n')[0] ?? ''
  }

  ended(): Promise<Ended> {
    return this.#ended
  }

  async kill(): Promise<Ended> {
    this.#child.kill('SIGKILL')
    return this.#ended
  }
}
