import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { executablePath } from './launcher-file.ts'
import type { Netns } from './netns.ts'

const never = new Int32Array(new SharedArrayBuffer(4))
/** Blocks, as those who wait here do between synchronous calls. */
export const sleep = (milliseconds: number): void => void Atomics.wait(never, 0, 0, milliseconds)

export type ServerWords = {
  readonly node: Pick<Netns, 'path'>
  /** Where its socket is. */
  readonly folder: string
  /** Practises calls while nobody asks: not where a test looks at what it does. */
  readonly isRehearsing?: boolean
  /** Words that put it into other namespaces besides. */
  readonly inside?: readonly string[]
}

/** `tulle warm` in a node's namespace, listening when the constructor returns; ends with us. */
export class CallServer {
  readonly #child: ChildProcess
  readonly #socket: string

  constructor({ node, folder, inside = [], isRehearsing = false }: ServerWords) {
    this.#socket = `${folder}/cni.sock`
    rmSync(this.#socket, { force: true })
    const kept = ['setpriv', '--pdeathsig', 'KILL', ...inside, 'nsenter', `--net=${node.path}`]
    const asked = isRehearsing ? [] : ['--no-rehearsal']
    const [file = '', ...words] = [...kept, executablePath, 'warm', '--run-dir', folder, ...asked]
    this.#child = spawn(file, words, {
      stdio: ['ignore', 'ignore', process.env.TULLE_WARM_STDERR ? 'inherit' : 'ignore'],
    })
    this.#child.unref()
    for (let left = 4000; !this.#isListening(); left -= 1) {
      if (left === 0 || !this.isAlive)
        throw new Error(`Cannot serve calls at ${this.#socket}: nothing listens`)
      sleep(5)
    }
  }

  /** proc(5): unix sockets of its namespace; flag 10000 is a socket that listens. */
  #isListening(): boolean {
    if (!existsSync(this.#socket)) return false
    const sockets = readFileSync(`/proc/${this.pid}/net/unix`, 'utf8').split('\n')
    return sockets.some(
      (line) => line.endsWith(` ${this.#socket}`) && line.split(/\s+/)[3] === '00010000',
    )
  }

  /** Of the process that was spawned: the wrapper, if there is one. */
  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the server was not started')
    return this.#child.pid
  }

  get isAlive(): boolean {
    return stateOf(this.pid) !== undefined
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name)
  }

  stop(): void {
    this.signal('SIGSTOP')
    while (!/^[Tt]$/.test(stateOf(this.pid) ?? 'T')) sleep(1)
  }

  proceed(): void {
    this.signal('SIGCONT')
  }

  close(): void {
    if (this.isAlive) this.signal('SIGKILL')
    while (this.isAlive) sleep(1)
  }
}

/** proc(5): R, S, T, …; undefined once it is dead. */
function stateOf(pid: number): string | undefined {
  try {
    const state = /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]
    return state === 'Z' || state === 'X' ? undefined : state
  } catch {
    return undefined
  }
}
