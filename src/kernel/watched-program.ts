import { type SpawnSyncOptionsWithStringEncoding, spawnSync } from 'node:child_process'

export type Watched = {
  /** 128 for a program that a signal ended. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** Killed, as it did not end in time. */
  readonly isLate: boolean
}

export type Watch = {
  readonly words?: readonly string[]
  readonly input?: string
  readonly env: NodeJS.ProcessEnv
  readonly limitMilliseconds: number
}

/** Node heeds `detached` here as in spawn (src/spawn_sync.cc); its types do not know. */
type SpawnSyncOptions = SpawnSyncOptionsWithStringEncoding & { readonly detached: true }

const outputBytesMax = 64 * 1024 * 1024

/**
 * Runs a program of somebody else's to its end, in the namespaces of this thread, and kills it if
 * it takes too long. One that can't be started is a thrown error.
 */
export function watchProgram(file: string, watch: Watch): Watched {
  const { words = [], input = '', env, limitMilliseconds } = watch
  const options: SpawnSyncOptions = {
    input,
    env,
    // A process group of its own: what it started goes with it.
    detached: true,
    timeout: limitMilliseconds,
    killSignal: 'SIGKILL',
    maxBuffer: outputBytesMax,
    encoding: 'utf8',
  }
  const done = spawnSync(file, words, options)
  const { code } = (done.error ?? {}) as NodeJS.ErrnoException
  // A program that refuses its environment need not read what it is sent.
  if (done.error && code !== 'EPIPE' && code !== 'ETIMEDOUT') throw done.error
  const { stdout, stderr } = done
  const isLate = code === 'ETIMEDOUT'
  if (isLate) killGroup(done.pid)
  return { code: done.status ?? 128, stdout, stderr, isLate }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code !== 'ESRCH') throw refusal
  }
}
