import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { type Address, addressKey, parseAddress } from '../base/address.ts'
import type { Attachment, AttachmentId } from '../datapath/attachment.ts'
import type { Book, Cursor } from '../ipam/allocate.ts'

/** Asks for an advisory lock on an open file; 0, or -errno (flock(2), with a time limit). */
export type Lock = (fd: number, how: number, limitMilliseconds: number) => number

export const LOCK_SH = 1
export const LOCK_EX = 2

/** 200 pods that start at once hold the lock 2 ms each; past this somebody sits on it, and the runtime should ask again. */
const lockWaitMilliseconds = 20_000
/** SQLite's own wait, for readers that come past our lock (a person with the sqlite3 shell). */
const busyTimeoutMilliseconds = 5_000
/** A pool of more addresses than this is never used up, so what it gets back is not kept for reuse. */
const rememberedPoolMax = 1n << 24n
const schemaVersion = 1

const schema = `
create table meta(key text primary key, value text not null) without rowid;
create table attachment(
  network text, container text, ifname text, record text not null,
  primary key(network, container, ifname)) without rowid;
create table address(
  network text, address text, pool text not null, container text, ifname text, turn integer not null,
  primary key(network, address)) without rowid;
create index address_held on address(network, container, ifname) where container is not null;
create index address_released on address(network, pool, turn) where container is null;
create table cursor(network text, pool text, next text not null, primary key(network, pool)) without rowid;
pragma user_version = ${schemaVersion};
`

/** The store's lock was not to be had in time: the caller may try again. */
export class StoreBusy extends Error {
  override name = 'StoreBusy'
}

/** The store is there but can't be used; the message says what was found and what to do. */
export class StoreBroken extends Error {
  override name = 'StoreBroken'
}

type Row = Readonly<Record<string, SQLInputValue>>

/**
 * Attachments and leases of every network that shares one data directory: SQLite with a rollback journal and
 * `synchronous = full`, so a commit is on the disk when it returns, and a cut at any byte leaves the state before it or after
 * it. Every use is under one flock, which queues fairly where SQLite's own waiting would poll.
 */
export class LeaseStore {
  readonly #db: DatabaseSync
  readonly #lockFd: number
  /** True if this process made the file: nothing was there, or it was not usable and was moved aside. */
  readonly isFresh: boolean

  private constructor(db: DatabaseSync, lockFd: number, isFresh: boolean) {
    this.#db = db
    this.#lockFd = lockFd
    this.isFresh = isFresh
  }

  /** Opens the store of `dataDir` for one process, waiting for the lock; makes it if need be. */
  static open(dataDir: string, lock: Lock): LeaseStore {
    mkdirSync(dataDir, { recursive: true, mode: 0o755 })
    const lockFd = openSync(`${dataDir}/tulle.lock`, 'a', 0o600)
    const refused = lock(lockFd, LOCK_EX, lockWaitMilliseconds)
    if (refused !== 0) {
      closeSync(lockFd)
      throw new StoreBusy(
        `the lock ${dataDir}/tulle.lock was not free within ${lockWaitMilliseconds / 1000} s; try again`,
      )
    }
    const path = `${dataDir}/tulle.db`
    try {
      return LeaseStore.#openFile(path, lockFd)
    } catch (refusal) {
      if (!isCorrupt(refusal)) {
        closeSync(lockFd)
        throw refusal
      }
      moveAside(path)
      return LeaseStore.#openFile(path, lockFd)
    }
  }

  static #openFile(path: string, lockFd: number): LeaseStore {
    const db = new DatabaseSync(path, { timeout: busyTimeoutMilliseconds })
    db.exec('pragma journal_mode = truncate; pragma synchronous = full; begin immediate')
    const version = Number(db.prepare('pragma user_version').get()?.user_version ?? 0)
    if (version > schemaVersion)
      throw new StoreBroken(
        `${path} was written by a newer Tulle (schema ${version}, this one knows ${schemaVersion}); ` +
          'install that version again, or move the file away when no pod runs',
      )
    if (version === 0) db.exec(schema)
    else db.prepare('select count(*) from meta').get()
    return new LeaseStore(db, lockFd, version === 0)
  }

  /** Makes everything since `open` durable, and lets the next process in. */
  commit(): void {
    this.#db.exec('commit')
    this.#leave()
  }

  /** Forgets everything since `open`. */
  rollback(): void {
    this.#db.exec('rollback')
    this.#leave()
  }

  #leave(): void {
    this.#db.close()
    closeSync(this.#lockFd)
  }

  meta(key: string): string | undefined {
    const row = this.#get('select value from meta where key = ?', key)
    return row && String(row.value)
  }

  setMeta(key: string, value: string): void {
    this.#run('insert or replace into meta values(?, ?)', key, value)
  }

  attachment({ network, container, ifname }: AttachmentId): Attachment | undefined {
    const row = this.#get(
      'select record from attachment where network = ? and container = ? and ifname = ?',
      network,
      container,
      ifname,
    )
    return row && (JSON.parse(String(row.record)) as Attachment)
  }

  /** Of one network, or of all. */
  attachments(network?: string): readonly Attachment[] {
    const rows =
      network === undefined
        ? this.#all('select record from attachment')
        : this.#all('select record from attachment where network = ?', network)
    return rows.map(({ record }) => JSON.parse(String(record)) as Attachment)
  }

  hasAttachments(): boolean {
    return this.#get('select 1 from attachment limit 1') !== undefined
  }

  putAttachment(attachment: Attachment): void {
    const { network, container, ifname } = attachment
    const record = JSON.stringify(attachment)
    this.#run(
      'insert or replace into attachment values(?, ?, ?, ?)',
      network,
      container,
      ifname,
      record,
    )
  }

  /** The pools' book of one network, as `ipam/allocate` asks it. */
  book(network: string): Book {
    return {
      holderOf: (address) => {
        const row = this.#get(
          'select container from address where network = ? and address = ?',
          network,
          addressKey(address),
        )
        if (row === undefined) return undefined
        return row.container === null ? 'released' : String(row.container)
      },
      cursorOf: (pool) => {
        const row = this.#get(
          'select next from cursor where network = ? and pool = ?',
          network,
          pool,
        )
        return row && addressOfKey(String(row.next))
      },
      oldestReleased: (pool) => {
        const row = this.#get(
          'select address, turn from address where network = ? and pool = ? and container is null order by turn limit 1',
          network,
          pool,
        )
        return row && { address: addressOfKey(String(row.address)), turn: Number(row.turn) }
      },
    }
  }

  hold(
    id: AttachmentId,
    leases: readonly { readonly address: Address; readonly pool: string }[],
  ): void {
    for (const { address, pool } of leases)
      this.#run(
        'insert or replace into address values(?, ?, ?, ?, ?, 0)',
        id.network,
        addressKey(address),
        pool,
        id.container,
        id.ifname,
      )
  }

  setCursors(network: string, cursors: readonly Cursor[]): void {
    for (const { pool, next } of cursors)
      this.#run('insert or replace into cursor values(?, ?, ?)', network, pool, addressKey(next))
  }

  /** Addresses that the attachment holds. A legacy lease (see adopt.ts) has no interface name and answers to any. */
  heldBy({ network, container, ifname }: AttachmentId): readonly Address[] {
    return this.#all(
      "select address from address where network = ? and container = ? and ifname in (?, '')",
      network,
      container,
      ifname,
    ).map(({ address }) => addressOfKey(String(address)))
  }

  /** Gives the addresses back, to be used again last, and forgets the attachment. */
  release({ network, container, ifname }: AttachmentId): void {
    this.#releaseWhere(
      "network = ? and container = ? and ifname in (?, '')",
      network,
      container,
      ifname,
    )
    this.#run(
      'delete from attachment where network = ? and container = ? and ifname = ?',
      network,
      container,
      ifname,
    )
  }

  /** Forgets every attachment and gives every address back: the machine, or its network namespace, is another one now. */
  releaseAll(): void {
    this.#releaseWhere('container is not null')
    this.#run('delete from attachment')
  }

  /** Containers and interface names that hold an address of the network. */
  holders(network: string): readonly AttachmentId[] {
    return this.#all(
      'select distinct container, ifname from address where network = ? and container is not null',
      network,
    ).map(({ container, ifname }) => ({
      network,
      container: String(container),
      ifname: String(ifname),
    }))
  }

  #releaseWhere(where: string, ...values: readonly string[]): void {
    const held = this.#all(
      `select network, address, pool from address where container is not null and ${where}`,
      ...values,
    )
    if (held.length === 0) return
    const turn = Number(this.meta('turn') ?? 0) + 1
    this.setMeta('turn', String(turn))
    for (const { network, address, pool } of held)
      if (isRemembered(String(pool)))
        this.#run(
          'update address set container = null, ifname = null, turn = ? where network = ? and address = ?',
          turn,
          String(network),
          String(address),
        )
      else
        this.#run(
          'delete from address where network = ? and address = ?',
          String(network),
          String(address),
        )
  }

  #get(sql: string, ...values: readonly SQLInputValue[]): Row | undefined {
    return this.#db.prepare(sql).get(...values) as Row | undefined
  }

  #all(sql: string, ...values: readonly SQLInputValue[]): readonly Row[] {
    return this.#db.prepare(sql).all(...values) as Row[]
  }

  #run(sql: string, ...values: readonly SQLInputValue[]): void {
    this.#db.prepare(sql).run(...values)
  }
}

/** From `addressKey`: the family's digit, then the value in hex. */
const addressOfKey = (key: string): Address => ({
  family: key.startsWith('4') ? 4 : 6,
  value: BigInt(`0x${key.slice(1)}`),
})

function isRemembered(pool: string): boolean {
  const [first, last] = pool.split('-').map((text) => parseAddress(text))
  return !first || !last || last.value - first.value < rememberedPoolMax
}

const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26
const isCorrupt = (refusal: unknown): boolean =>
  [SQLITE_CORRUPT, SQLITE_NOTADB].includes(sqliteCode(refusal) ?? 0)

/** Primary result code of an SQLite error (https://sqlite.org/rescode.html), undefined for other errors. */
export function sqliteCode(refusal: unknown): number | undefined {
  const number = (refusal as { errcode?: unknown } | undefined)?.errcode
  return typeof number === 'number' ? number & 0xff : undefined
}

/** A store that SQLite can't read is kept for a person to look at; what it held is found again in the kernel. */
function moveAside(path: string): void {
  const stamp = Math.trunc(statSync(path).mtimeMs)
  renameSync(path, `${path}.corrupt-${stamp}`)
  if (existsSync(`${path}-journal`))
    renameSync(`${path}-journal`, `${path}.corrupt-${stamp}-journal`)
}
