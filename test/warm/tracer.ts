import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { type CallServer, sleep } from '../support/call-server.ts'

/** strace on a server that is there already: its counts begin with the next call. */
export type Tracer = { readonly end: () => Promise<void> }

/** @param words what strace is told besides the process */
export async function trace(server: CallServer, words: readonly string[]): Promise<Tracer> {
  const child = spawn('strace', ['-f', '-qqq', '-p', String(server.pid), ...words], {
    stdio: 'ignore',
  })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  for (let left = 2000; !isTraced(server.pid); left -= 1) {
    if (left === 0 || child.exitCode !== null) throw new Error('Cannot trace the server')
    sleep(2)
  }
  return {
    end: async () => {
      child.kill('SIGINT')
      await gone
    },
  }
}

/** proc(5): every thread has a tracer. */
const isTraced = (pid: number): boolean =>
  readdirSync(`/proc/${pid}/task`).every(
    (thread) =>
      !/^TracerPid:\t0$/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')),
  )
