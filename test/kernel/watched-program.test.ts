import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { watchProgram } from '../../src/kernel/watched-program.ts'

const shell = (script: string, more: { input?: string; limitMilliseconds?: number } = {}) =>
  watchProgram('/bin/sh', {
    words: ['-c', script],
    env: { PATH: '/usr/bin:/bin', WORD: 'given' },
    limitMilliseconds: 60_000,
    ...more,
  })

t.test('what it says on both streams, and how it ended', async (t) => {
  const ran = shell('cat; echo $WORD >&2; exit 3', { input: 'in' })
  t.same(ran, { code: 3, stdout: 'in', stderr: 'given\n', isLate: false })
  t.equal(shell('kill -9 $$').code, 128)
})

t.test('one that does not read what it is sent', async (t) => {
  t.match(shell('exec 0<&-; echo ready', { input: 'x'.repeat(1 << 20) }), { code: 0 })
})

t.test('one that does not end is killed, and so is what it started', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tt-watch-'))
  try {
    const ran = shell(`sleep 600 & echo $! > ${folder}/pid; wait`, { limitMilliseconds: 1_000 })
    t.match(ran, { code: 128, isLate: true })
    const pid = readFileSync(join(folder, 'pid'), 'utf8').trim()
    // A signal takes effect when the process is next scheduled.
    for (let look = 0; look < 100 && isRunning(pid); look += 1) await setTimeout(50)
    t.notOk(isRunning(pid), `process ${pid}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

/** A killed child whose parent is dead too stays a zombie until init has seen to it. */
function isRunning(pid: string): boolean {
  const file = `/proc/${pid}/stat`
  return existsSync(file) && !/\) [ZX] /.test(readFileSync(file, 'utf8'))
}

t.test('a file that can’t be run is thrown', async (t) => {
  t.throws(() => watchProgram('/nowhere/plugin', { env: {}, limitMilliseconds: 1_000 }), {
    code: 'ENOENT',
  })
})
