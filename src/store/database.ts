import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'

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

/** What each version of the schema added: a store of the n-th lacks what follows. */
export type Schema = readonly string[]

/**
 * One SQLite file, open for one transaction of one process: a rollback journal and
 * `synchronous = full`, so a commit is on the disk when it returns, and a cut at any byte leaves
 * the state before it or after it. Every use is under one flock, which queues fairly where SQLite's
 * own waiting would poll.
 */
export class Database {
  readonly #path: string
  readonly #lockFd: number
  readonly #db: DatabaseSync

  private constructor(path: string, lockFd: number, db: DatabaseSync) {
    this.#path = path
    this.#lockFd = lockFd
    this.#db = db
  }

  /** Waits for the lock, opens the file (makes it if need be) and begins the transaction. */
  static open(folder: string, schema: Schema, lock: Lock): Database {
    makeFolder(folder)
    const lockFd = openSync(`${folder}/tulle.lock`, 'a', 0o600)
    try {
      waitFor(lock(lockFd, LOCK_EX, lockWaitMilliseconds), folder)
      const path = `${folder}/tulle.db`
      return new Database(path, lockFd, begin(path, schema))
    } catch (refusal) {
      closeSync(lockFd)
      throw refusal
    }
  }

  get(sql: string, ...values: readonly SQLInputValue[]): Row | undefined {
    return this.#db.prepare(sql).get(...values) as Row | undefined
  }

  all(sql: string, ...values: readonly SQLInputValue[]): readonly Row[] {
    return this.#db.prepare(sql).all(...values) as Row[]
  }

  run(sql: string, ...values: readonly SQLInputValue[]): void {
    this.#db.prepare(sql).run(...values)
  }

  /** Makes everything since `open` durable, and lets the next process in. */
  commit(): void {
    this.#db.exec('commit')
    this.#leave()
  }

  /** Forgets everything since `open`. A failed statement may have ended the transaction already. */
  rollback(): void {
    if (this.#db.isTransaction) this.#db.exec('rollback')
    this.#leave()
  }

  /** Forgets everything, and puts a file that SQLite can't read out of the way. */
  moveAside(): void {
    this.#db.close()
    moveAside(this.#path)
    closeSync(this.#lockFd)
  }

  #leave(): void {
    this.#db.close()
    closeSync(this.#lockFd)
  }
}

function waitFor(refused: number, folder: string): void {
  if (refused === 0) return
  const seconds = lockWaitMilliseconds / 1000
  throw new StoreBusy(`the lock ${folder}/tulle.lock was not free within ${seconds} s; try again`)
}

/** A file that can't be read is replaced by an empty one: the kernel still shows what is leased. */
function begin(path: string, schema: Schema): DatabaseSync {
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
  db.exec('pragma journal_mode = truncate; pragma synchronous = full; begin immediate')
  const header = readHeader(path)
  if (header) refuseDamage(header, path)
  const version = header?.readInt32BE(userVersionAt) ?? 0
  const newest = schema.length
  if (version > newest)
    throw new StoreBroken(
      `${path} was written by a newer Tulle (schema ${version}, this one knows ` +
        `${newest}); install that version again, or move the file away when no pod runs`,
    )
  if (version < 0 || (header && version === 0))
    throw new CorruptFile(`${path} has tables and an odd version, ${version}`)
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

// The file's header (sqlite.org/fileformat.html 1.3): read as it is, for a third of what it takes a
// process that has just started to ask SQLite for it.
const headerBytes = 100
const pageSizeAt = 16
const writeVersionAt = 18
const readVersionAt = 19
const pageCountAt = 28
const schemaFormatAt = 44
const userVersionAt = 60

/** Undefined for a file without one: a store that is to be made, or was when the power went. */
function readHeader(path: string): Buffer | undefined {
  if (!existsSync(path)) return undefined
  const header = Buffer.alloc(headerBytes)
  const fd = openSync(path, 'r')
  const length = readSync(fd, header)
  closeSync(fd)
  return length === headerBytes ? header : undefined
}

/** SQLite reads a page that is cut as if it ended in zeros. */
function refuseDamage(header: Buffer, path: string): void {
  if (hasOddHeader(header)) throw new CorruptFile(`${path} has an odd header`)
  const pages = header.readUInt32BE(pageCountAt)
  const pageBytes = header.readUInt16BE(pageSizeAt)
  const { size } = statSync(path)
  if (size !== pages * pageBytes)
    throw new CorruptFile(`${path} has ${size} bytes, not ${pages} pages of ${pageBytes}`)
}

/**
 * SQLite takes damage in these bytes for a file that is read-only or of a later format: write and
 * read version, schema format.
 */
function hasOddHeader(header: Buffer): boolean {
  const isVersion = (at: number): boolean => [1, 2].includes(header.readUInt8(at))
  const format = header.readUInt32BE(schemaFormatAt)
  return !isVersion(writeVersionAt) || !isVersion(readVersionAt) || format > 4
}

function isDamaged(path: string): boolean {
  const header = readHeader(path)
  return header ? hasOddHeader(header) : existsSync(path) && statSync(path).size > 0
}

/** Kept for a person to look at. */
function moveAside(path: string): void {
  const stamp = Math.trunc(statSync(path).mtimeMs)
  renameSync(path, `${path}.corrupt-${stamp}`)
  const journal = `${path}-journal`
  if (existsSync(journal)) renameSync(journal, `${path}.corrupt-${stamp}-journal`)
}

const SQLITE_CORRUPT = 11

/** The JSON of a `record` column. */
export function recordOf<T>({ record }: Row): T {
  try {
    return JSON.parse(String(record)) as T
  } catch (cause) {
    throw new CorruptFile('a record is no JSON', { cause })
  }
}

/** What we find damaged ourselves, beside what SQLite finds. */
class CorruptFile extends Error {
  override name = 'CorruptFile'
  readonly errcode = SQLITE_CORRUPT
}

const SQLITE_NOTADB = 26

export const isCorrupt = (refusal: unknown): boolean =>
  [SQLITE_CORRUPT, SQLITE_NOTADB].includes(sqliteCode(refusal) ?? 0)

/** Primary result code of an SQLite error (sqlite.org/rescode.html), undefined for other errors. */
export function sqliteCode(refusal: unknown): number | undefined {
  const number = (refusal as { errcode?: unknown } | undefined)?.errcode
  return typeof number === 'number' ? number & 0xff : undefined
}
