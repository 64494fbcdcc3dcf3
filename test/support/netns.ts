import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string }
export type RunOptions = {
  readonly input?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

/** Runs a program and waits for it; a program that can't be started is a thrown error. */
export function run(argv: readonly string[], options: RunOptions = {}): Ran {
  const [file, ...rest] = argv
  if (file === undefined) throw new Error('Cannot run an empty command')
  const done = spawnSync(file, rest, {
    input: options.input ?? '',
    env: options.env ?? process.env,
    timeout: options.timeoutMs ?? 60_000,
    maxBuffer: 64 * 1024 * 1024,
    encoding: 'utf8',
  })
  // a program that refuses its environment need not read what it is sent
  const { code } = (done.error ?? {}) as NodeJS.ErrnoException
  if (done.error && code !== 'EPIPE') throw done.error
  return { code: done.status ?? -1, stdout: done.stdout, stderr: done.stderr }
}

/** As `run`, but others can run meanwhile. */
export function runLater(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const [file, ...rest] = argv
  if (file === undefined) throw new Error('Cannot run an empty command')
  return new Promise((resolve, reject) => {
    const child = spawn(file, rest, {
      env: options.env ?? process.env,
      timeout: options.timeoutMs ?? 60_000,
    })
    const texts = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8')
      child[name].on('data', (text: string) => {
        texts[name] += text
      })
    }
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? -1, ...texts }))
    // a plugin that refuses its environment does not read what it is sent
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input ?? '')
  })
}

/** A throw-away network namespace with a name under /run/netns and `lo` up. */
export class Netns {
  readonly name: string
  readonly path: string
  readonly #ends: (() => void)[] = []

  constructor(name: string) {
    this.name = name
    this.path = `/run/netns/${name}`
  }

  /** What runs in here ends before it is removed. */
  beforeClose(end: () => void): void {
    this.#ends.push(end)
  }

  /** Runs a program inside this namespace (nsenter: mounts stay as they are). */
  exec(argv: readonly string[], options: RunOptions = {}): Ran {
    return run(['nsenter', `--net=${this.path}`, ...argv], options)
  }

  /** `ip` inside this namespace; a refusal throws with ip's own text. */
  ip(...words: readonly string[]): string {
    const done = run(['ip', '-n', this.name, ...words])
    if (done.code !== 0) throw new Error(`Cannot ip ${words.join(' ')}: ${done.stderr.trim()}`)
    return done.stdout
  }

  /** `ip -j` inside this namespace, parsed; an empty answer is an empty list. */
  ipJson(...words: readonly string[]): readonly Record<string, unknown>[] {
    const text = this.ip('-j', '-d', ...words).trim()
    return text === '' ? [] : (JSON.parse(text) as Record<string, unknown>[])
  }

  exists(): boolean {
    return run(['ip', 'netns', 'list']).stdout.split(/\s+/).includes(this.name)
  }

  /** Removes the namespace; may be called twice. */
  close(): void {
    for (const end of this.#ends.splice(0)) end()
    run(['ip', 'netns', 'del', this.name])
  }
}

/** Makes a namespace `tt-<label>-<random>`; the caller closes it. */
export function makeNetns(label: string): Netns {
  const netns = new Netns(`tt-${label}-${randomBytes(4).toString('hex')}`)
  const made = run(['ip', 'netns', 'add', netns.name])
  if (made.code !== 0) throw new Error(`Cannot make netns ${netns.name}: ${made.stderr.trim()}`)
  netns.ip('link', 'set', 'lo', 'up')
  return netns
}
