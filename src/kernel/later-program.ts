import { spawn } from 'node:child_process'

export type Ended = {
  /** 128 for a program that a signal ended. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export type LaterRun = {
  /** argv[0]. */
  readonly name: string
  readonly input: string
  readonly env: NodeJS.ProcessEnv
  /** It is killed then. */
  readonly limitMilliseconds: number
}

/** A plugin's result or error; what comes behind is dropped. */
const outputCharactersMax = 64 * 1024

/** Runs a program to its end while others go on; one that can't be started is a rejection. */
export function runLater(
  file: string,
  { name, input, env, limitMilliseconds }: LaterRun,
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, [], {
      argv0: name,
      env,
      timeout: limitMilliseconds,
      killSignal: 'SIGKILL',
    })
    const texts = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8')
      child[name].on('data', (text: string) => {
        texts[name] = (texts[name] + text).slice(0, outputCharactersMax)
      })
    }
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 128, ...texts }))
    // A program that refuses its environment need not read what it is sent.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
  })
}
