import { spawnSync } from 'node:child_process'
import type { Computer } from './computer.ts'
import { besideApiServer, environmentOfAdmin } from './control-plane.ts'

/** Runs a program on a computer of the cluster with this terminal; its exit code. */
export const attach = (computer: Computer, argv: readonly string[]): number =>
  runAttached(computer.inside(argv), process.env)

/** The same for a program of this machine, in the API server's network. */
export const attachBesideApiServer = (argv: readonly string[]): number =>
  runAttached(besideApiServer(argv), environmentOfAdmin())

function runAttached([file = '', ...words]: readonly string[], env: NodeJS.ProcessEnv): number {
  const done = spawnSync(file, words, { stdio: 'inherit', env })
  if (done.error) throw done.error
  return done.status ?? 1
}
