import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { CorruptFile, isDamaged, SQLITE_CORRUPT, versionIn } from './file-header.ts'
import { OpenDatabase, type OpenDatabases } from './open-databases.ts'
import { isCheckedSinceBoot, markChecked } from './sound-boot.ts'

/** Asks for an advisory lock on an open file; 0, or -errno (flock(2), with a time limit). */
export type Lock = (fd: number, how: number, limitMilliseconds: number) => number

export const LOCK_EX = 2

/** The same lock for somebody who comes again anyway: ADDs and DELs go first. */
export const waitingAtMost =
  (lock: Lock, milliseconds: number): Lock =>
  (fd, how) =>
    lock(fd, how, milliseconds)

/**
 * 200 pods that start at once hold the lock 2 ms each; past this somebody sits on it, and the
 * runtime should ask again.
 */
const lockWaitMilliseconds = 20_000
/** SQLite's own wait, for readers that come past our lock (a person with the sqlite3 shell). */
const busyTimeoutMilliseconds = 5_000

/** The store's lock was not to be had in time: the caller may try again. */
export class StoreBusy extends Error {
  override name = 'StoreBusy'
}

/** The store is there but can't be used; the message says what was found and what to do. */
export class StoreBroken extends Error {
  override name = 'StoreBroken'
}

export type Row = Readonly<Record<string, SQLInputValue>>

/** A file to open: the folder that it is in, what it holds, and who waits for its lock. */
export type Opening = {
  readonly folder: string
  readonly schema: Schema
  readonly lock: Lock
  readonly kept?: OpenDatabases | undefined
}

/** What each version of the schema added: a store of the n-th lacks what follows. */
export type Schema = readonly string[]

/**
 * One SQLite file, open for one transaction of one process. A commit is whole for every process
 * that comes after, however this one ends: the rollback journal sees to it. It does not wait for
 * the disk (`synchronous = off`): what only a power cut could lose or tear is of pods that the same
 * cut has ended. So the first one of each boot looks whether the file is sound, and begins anew if
 * it is not (sound-boot.ts). Every use is under one flock, which queues fairly where SQLite's own
 * waiting would poll.
 */
export class Database {
  readonly #path: string
  readonly #lockFd: number
  readonly #open: OpenDatabase
  readonly #kept: OpenDatabases | undefined

  private constructor(opened: Opened, kept: OpenDatabases | undefined) {
    this.#path = opened.path
    this.#lockFd = opened.lockFd
    this.#open = opened.database
    this.#kept = kept
  }

  /**
   * Waits for the lock, opens the file (makes it if need be) and begins the transaction.
   * @param kept where the file stays open afterwards
   */
  static open({ folder, schema, lock, kept }: Opening): Database {
    makeFolder(folder)
    const lockFd = openSync(`${folder}/tulle.lock`, 'a', 0o600)
    try {
      waitFor(lock(lockFd, LOCK_EX, lockWaitMilliseconds), folder)
      const path = `${folder}/tulle.db`
      const database = beginAgain(path, schema, kept) ?? new OpenDatabase(begin(path, schema))
      return new Database({ path, lockFd, database }, kept)
    } catch (refusal) {
      closeSync(lockFd)
      throw refusal
    }
  }

  get(sql: string, ...values: readonly SQLInputValue[]): Row | undefined {
    return this.#open.prepare(sql).get(...values) as Row | undefined
  }

  all(sql: string, ...values: readonly SQLInputValue[]): readonly Row[] {
    return this.#open.prepare(sql).all(...values) as Row[]
  }

  run(sql: string, ...values: readonly SQLInputValue[]): void {
    this.#open.prepare(sql).run(...values)
  }

  /** Makes everything since `open` true for all who come after, and lets the next one in. */
  commit(): void {
    this.#open.db.exec('commit')
    this.#leave()
  }

  /** Forgets everything since `open`. A failed statement may have ended the transaction already. */
  rollback(): void {
    if (this.#open.db.isTransaction) this.#open.db.exec('rollback')
    this.#leave()
  }

  /** Forgets everything, and puts a file that SQLite can't read out of the way. */
  moveAside(): void {
    this.#open.db.close()
    moveAside(this.#path)
    closeSync(this.#lockFd)
  }

  #leave(): void {
    if (this.#kept) this.#kept.keep(this.#path, this.#open)
    else this.#open.db.close()
    closeSync(this.#lockFd)
  }
}

type Opened = {
  readonly path: string
  readonly lockFd: number
  readonly database: OpenDatabase
}

/** The transaction on a file that is open already; undefined: it is to be opened. */
function beginAgain(
  path: string,
  schema: Schema,
  kept: OpenDatabases | undefined,
): OpenDatabase | undefined {
  const known = kept?.take(path)
  if (!known) return undefined
  try {
    known.db.exec('begin immediate')
    if (versionIn(path) === schema.length) return known
  } catch (refusal) {
    if (!isCorrupt(refusal)) {
      known.db.close()
      throw refusal
    }
  }
  // Damaged, or of another Tulle by now: who opens it anew knows what to do.
  known.db.close()
  return undefined
}

function waitFor(refused: number, folder: string): void {
  if (refused === 0) return
  const seconds = lockWaitMilliseconds / 1000
  throw new StoreBusy(`the lock ${folder}/tulle.lock was not free within ${seconds} s; try again`)
}

/** A file that can't be read is replaced by an empty one: the kernel still shows what is leased. */
function begin(path: string, schema: Schema): DatabaseSync {
  if (!isCheckedSinceBoot(path)) {
    if (existsSync(path) && !isSound(path)) moveAside(path)
    markChecked(path)
  }
  try {
    return beginOn(path, schema)
  } catch (refusal) {
    if (!isCorrupt(refusal) && !isDamaged(path)) throw refusal
    moveAside(path)
    return beginOn(path, schema)
  }
}

function beginOn(path: string, schema: Schema): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: busyTimeoutMilliseconds })
  try {
    prepare(db, path, schema)
  } catch (refusal) {
    db.close()
    throw refusal
  }
  return db
}

function prepare(db: DatabaseSync, path: string, schema: Schema): void {
  db.exec('pragma journal_mode = truncate; pragma synchronous = off; begin immediate')
  const version = versionIn(path)
  const newest = schema.length
  if (version > newest)
    throw new StoreBroken(
      `${path} was written by a newer Tulle (schema ${version}, this one knows ` +
        `${newest}); install that version again, or move the file away when no pod runs`,
    )
  if (version < newest)
    db.exec(`${schema.slice(version).join(';')}; pragma user_version = ${newest}`)
}

/** Node's own recursive mkdir tries for ever where a parent can't be made (under /proc, say). */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o755 })
  } catch (refusal) {
    const { code } = refusal as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(folder) === folder) throw refusal
    makeFolder(dirname(folder))
    mkdirSync(folder, { mode: 0o755 })
  }
}

/** All pages, indexes against their tables: some ms for thousands of leases, once a boot. */
function isSound(path: string): boolean {
  let db: DatabaseSync | undefined
  try {
    db = new DatabaseSync(path, { timeout: busyTimeoutMilliseconds })
    return db.prepare('pragma integrity_check(1)').get()?.integrity_check === 'ok'
  } catch (refusal) {
    if (isCorrupt(refusal) || isDamaged(path)) return false
    throw refusal
  } finally {
    db?.close()
  }
}

/** Kept for a person to look at. */
function moveAside(path: string): void {
  const stamp = Math.trunc(statSync(path).mtimeMs)
  renameSync(path, `${path}.corrupt-${stamp}`)
  const journal = `${path}-journal`
  if (existsSync(journal)) renameSync(journal, `${path}.corrupt-${stamp}-journal`)
}

/** The JSON of a `record` column. */
export function recordOf<T>({ record }: Row): T {
  try {
    return JSON.parse(String(record)) as T
  } catch (cause) {
    throw new CorruptFile('a record is no JSON', { cause })
  }
}

const SQLITE_NOTADB = 26

export const isCorrupt = (refusal: unknown): boolean =>
  [SQLITE_CORRUPT, SQLITE_NOTADB].includes(sqliteCode(refusal) ?? 0)

/** Primary result code of an SQLite error (sqlite.org/rescode.html), undefined for other errors. */
export function sqliteCode(refusal: unknown): number | undefined {
  const number = (refusal as { errcode?: unknown } | undefined)?.errcode
  return typeof number === 'number' ? number & 0xff : undefined
}
