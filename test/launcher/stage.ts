import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { placedLauncher } from '../../src/store/launcher.ts'
import { until } from '../support/until.ts'

// A folder of plugins with the launcher, a stand-in for the Node executable (node.c) beside it, and
// an agent (agent.py) that does with each call what a test tells it.

export const launcher = fileURLToPath(new URL('../../dist/launcher', import.meta.url))
const patience = { limitMs: 20_000, pauseMs: 5 }
const sourceOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** [word, argument…], as agent.py takes them. */
export type Step = readonly [string, ...(readonly (string | number)[])]
export type Saw = Readonly<Record<string, unknown>> & {
  readonly call: number
  readonly saw: string
}

export type Asked = {
  /** Besides CNI_COMMAND=ADD. */
  readonly env?: Readonly<Record<string, string>>
  readonly argv0?: string
  readonly words?: readonly string[]
  /** Of more than one piece: 100 ms apart. */
  readonly input?: string | Uint8Array | readonly string[]
  /** What starts it: ["nsenter", "--net=…"]. */
  readonly under?: readonly string[]
  /** Else the launcher. */
  readonly program?: string
}

export type Ended = {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export class Stage {
  readonly folder: string
  readonly path: string
  readonly executable: string
  readonly socket: string
  readonly saw: Saw[] = []
  /** So many launchers have asked this agent; the last one's number. */
  #asked = 0
  #agent: ChildProcess | undefined
  #agentGone: Promise<unknown> | undefined

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'tulle-launcher-'))
    this.path = join(this.folder, 'tulle')
    this.socket = join(this.folder, 'cni.sock')
    const executable = join(this.folder, '.tulle/tulle')
    this.executable = executable
    mkdirSync(join(this.folder, '.tulle'))
    execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-o', executable, sourceOf('node.c')])
    this.place({ executable, socket: this.socket })
  }

  place(places: { readonly executable: string; readonly socket: string }): void {
    writeFileSync(this.path, placedLauncher(readFileSync(launcher), places), { mode: 0o755 })
  }

  placeUnwritten(): void {
    copyFileSync(launcher, this.path)
  }

  /** Resolves once it listens. */
  async startAgent(...steps: readonly Step[]): Promise<ChildProcess> {
    const words = [sourceOf('agent.py'), this.socket, JSON.stringify(steps)]
    const child = spawn('/usr/bin/python3', words, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#agent = child
    this.#agentGone = new Promise((resolve) => child.once('close', resolve))
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.saw.push(JSON.parse(line) as Saw)
    })
    await until('the agent listens', () => this.saw.length > 0, patience)
    return child
  }

  async stopAgent(): Promise<void> {
    this.#agent?.kill('SIGKILL')
    await this.#agentGone
    this.#agent = undefined
    this.saw.length = 0
    this.#asked = 0
    rmSync(this.socket, { force: true })
  }

  /** What the agent saw of that kind in the last call, once there are so many. */
  async seen(word: string, count = 1): Promise<readonly Saw[]> {
    const found = (): readonly Saw[] =>
      this.saw.filter(({ saw, call }) => saw === word && call === this.#asked)
    await until(`the agent saw ${count} × ${word}`, () => found().length >= count, patience)
    return found()
  }

  start({ env = {}, argv0, words = [], under = [], program = this.path }: Asked): ChildProcess {
    const [file = program, ...rest] = [...under, program, ...words]
    if (program !== this.executable) this.#asked++
    return spawn(file, rest, {
      env: { CNI_COMMAND: 'ADD', ...env },
      ...(argv0 === undefined ? {} : { argv0 }),
    })
  }

  call(asked: Asked = {}): Promise<Ended> {
    const child = this.start(asked)
    void feed(child, asked.input ?? '')
    return endOf(child)
  }

  /** As `call`, of an agent that takes it up. */
  async callTaken(asked: Asked = {}): Promise<Ended> {
    return (await this.startTaken(asked)).ended
  }

  /**
   * A call that the agent has taken up and was told to begin. On a busy machine it has not always
   * done so in 50 ms: then the call was Node's, and there is another.
   */
  async startTaken(asked: Asked = {}): Promise<{ child: ChildProcess; ended: Promise<Ended> }> {
    for (let turn = 0; turn < 50; turn++) {
      const child = this.start(asked)
      void feed(child, asked.input ?? '')
      const ended = endOf(child)
      const isOver = (): Saw | undefined =>
        this.saw.find(({ saw, call }) => call === this.#asked && (saw === 'word' || saw === 'gone'))
      const { text } = await until('the agent hears of it', isOver, patience)
      if (text === 'G') return { child, ended }
      await ended
    }
    throw new Error('The agent has never taken a call up in time')
  }

  async close(): Promise<void> {
    await this.stopAgent()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

async function feed(
  { stdin }: ChildProcess,
  input: string | Uint8Array | readonly string[],
): Promise<void> {
  const pieces = Array.isArray(input) ? (input as readonly string[]) : [input as string]
  stdin?.on('error', () => undefined)
  for (const [index, piece] of pieces.entries()) {
    if (index > 0) await sleep(100)
    stdin?.write(piece)
  }
  stdin?.end()
}

export function endOf(child: ChildProcess): Promise<Ended> {
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []]
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) =>
      resolve({ code, stdout: Buffer.concat(stdout), stderr: `${Buffer.concat(stderr)}` }),
    )
  })
}

/** What node.c tells. */
export type Told = {
  readonly fds: string
  readonly ignored: string
  readonly netns: string
  readonly words: readonly string[]
  readonly variables: readonly string[]
  readonly input: Buffer
}

/** tap adds these to whatever a test starts. */
const ofTestRunner = /^(_TAPJS_|NODE_OPTIONS=)/

/** Undefined: it was not Node that answered. */
export function toldBy({ code, stdout }: Ended): Told | undefined {
  const end = stdout.indexOf('\n\n')
  if (code !== 7 || end === -1) return undefined
  const lines = stdout.toString('utf8', 0, end).split('\n')
  const all = (word: string): string[] =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1))
  return {
    fds: all('fds').join(),
    ignored: all('ignored').join(),
    netns: all('netns').join(),
    words: all('word'),
    variables: all('variable').filter((text) => !ofTestRunner.test(text)),
    input: stdout.subarray(end + 2),
  }
}
