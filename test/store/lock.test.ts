import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'tap'
import { loadNative } from '../../src/kernel/native.ts'
import { LOCK_EX, type Lock, StoreBroken, StoreBusy } from '../../src/store/database.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { free, withFolder } from './folder.ts'
import { Worker, workerWords } from './process.ts'

const native = loadNative()
const [ETIMEDOUT, EWOULDBLOCK] = [110, 11]

/** As the plugin locks, but for a test's patience. */
const impatient: Lock = (fd, how, limit) => native.lock(fd, how, Math.min(limit, 200))

/** 0 if nobody holds the lock now. */
function tryLock(folder: string): number {
  const fd = openSync(`${folder}/tulle.lock`, 'r')
  try {
    return native.lock(fd, LOCK_EX, 0)
  } finally {
    closeSync(fd)
  }
}

test('somebody sits on the lock', async (t) => {
  await withFolder(async (folder) => {
    const sitter = new Worker('sit', folder)
    try {
      await sitter.firstLine()
      t.throws(
        () => LeaseStore.open(folder, impatient),
        new StoreBusy(`the lock ${folder}/tulle.lock was not free within 20 s; try again`),
      )
      t.throws(() => LeaseStore.use(folder, impatient, () => undefined), { name: 'StoreBusy' })
      t.equal(tryLock(folder), -EWOULDBLOCK, 'whom we have not disturbed')
    } finally {
      await sitter.kill()
    }
    const store = LeaseStore.open(folder, impatient)
    t.equal(store.meta('number'), undefined, 'a killed process leaves the lock, and no change')
    store.commit()
  })
})

test('a wait for the lock ends in time, and with the lock if that comes free', async (t) => {
  await withFolder(async (folder) => {
    const sitter = new Worker('sit', folder)
    await sitter.firstLine()
    const fd = openSync(`${folder}/tulle.lock`, 'r')
    const started = process.hrtime.bigint()
    t.equal(native.lock(fd, LOCK_EX, 120), -ETIMEDOUT)
    t.ok(process.hrtime.bigint() - started >= 120_000_000n, 'not before its time')
    const gone = sitter.kill()
    t.equal(native.lock(fd, LOCK_EX, 20_000), 0)
    closeSync(fd)
    await gone
  })
})

test('the lock is held from open to commit, and to rollback, and no longer', async (t) =>
  withFolder((folder) => {
    for (const end of ['commit', 'rollback'] as const) {
      const store = LeaseStore.open(folder, native.lock)
      t.equal(tryLock(folder), -EWOULDBLOCK)
      store[end]()
      t.equal(tryLock(folder), 0, `after ${end}`)
    }
    t.throws(() =>
      LeaseStore.use(folder, native.lock, () => {
        throw new Error('no')
      }),
    )
    t.equal(tryLock(folder), 0, 'nor where the work failed')
  }))

test('a store of a newer Tulle is refused as it is', async (t) =>
  withFolder((folder) => {
    LeaseStore.use(folder, native.lock, (store) => store.setMeta('life', 'one'))
    const file = `${folder}/tulle.db`
    const newer = new DatabaseSync(file)
    newer.exec('pragma user_version = 7; create table lease(x)')
    newer.close()
    const before = readFileSync(file)
    t.throws(
      () => LeaseStore.open(folder, native.lock),
      new StoreBroken(
        `${file} was written by a newer Tulle (schema 7, this one knows 4); ` +
          'install that version again, or move the file away when no pod runs',
      ),
    )
    t.ok(before.equals(readFileSync(file)), 'not a byte is changed')
    t.equal(tryLock(folder), 0, 'our lock is free again')
    const again = new DatabaseSync(file, { timeout: 0 })
    t.doesNotThrow(() => again.exec('begin immediate; rollback'), 'and so is SQLite’s')
    again.close()
  }))

for (const { why, dataDir } of [
  { why: 'a file where the folder should be', dataDir: '/dev/null' },
  { why: 'a file above it', dataDir: '/dev/null/tulle' },
  { why: 'no name at all', dataDir: '' },
]) {
  test(`no store: ${why}`, async (t) =>
    t.throws(() => LeaseStore.open(dataDir, free), { code: /^E[A-Z]+$/ }))
}

test('a folder where mkdir(2) answers ENOENT for ever', async (t) => {
  // Node's own recursive mkdir turns in a circle there.
  const [file = '', ...words] = workerWords('once', '/proc/none')
  const { signal, status } = spawnSync(file, words, { timeout: 5_000, killSignal: 'SIGKILL' })
  t.strictSame([signal, status], [null, 1], 'is refused, and does not keep the plugin busy')
})

test('a folder where the file should be is told of, and let be', async (t) =>
  withFolder((folder) => {
    mkdirSync(`${folder}/tulle.db`)
    t.throws(() => LeaseStore.open(folder, free), /EISDIR|unable to open database file/)
    t.ok(statSync(`${folder}/tulle.db`).isDirectory())
  }))
