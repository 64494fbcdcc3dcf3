import { accessSync, constants } from 'node:fs'

export type Finished = { readonly code: number; readonly stdout: string }

/** The first folder of `path` with an executable of that name, as the whole path. */
export const findProgram = (name: string, path: readonly string[]): string | undefined =>
  path.map((folder) => `${folder}/${name}`).find(isExecutable)

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** What a plugin may print at most; a result is some hundred bytes. */
const outputBytesMax = 16 * 1024 * 1024

/**
 * Runs a program to its end with `input` on standard input; its standard error goes where ours
 * goes.
 * @param name the name that it is called by (argv[0]), if that is another than its path.
 */
export function runProgram(
  file: string,
  input: string,
  env: NodeJS.ProcessEnv,
  name: string = file,
): Finished {
  // Loaded here: it takes a millisecond that only calls with an external IPAM should pay.
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const done = spawnSync(file, [], {
    argv0: name,
    input,
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
    maxBuffer: outputBytesMax,
    encoding: 'utf8',
  })
  if (done.error) throw done.error
  return { code: done.status ?? 128, stdout: done.stdout }
}
