import { type Address, addressKey } from '../base/address.ts'
import type { Attachment, AttachmentId } from '../datapath/attachment.ts'
import type { Book, Cursor } from '../ipam/allocate.ts'
import {
  addressOfKey,
  adoptedTurn,
  bookOf,
  type HeldAddress,
  heldOf,
  isRemembered,
  type Lease,
  leasesOf,
} from './book.ts'
import { ClusterRecord } from './cluster-record.ts'
import { Database, isCorrupt, type Lock, recordOf } from './database.ts'
import { DelegateTable, delegateSchema } from './delegate-table.ts'
import { ExtrasTable, extrasSchema } from './extras-table.ts'
import { hostPortSchema } from './host-port-table.ts'
import type { OpenDatabases } from './open-databases.ts'

/**
 * address: who holds it; container null: released, at `turn` of the store's own counter. cursor:
 * where a pool's never-used addresses begin.
 */
const schema = [
  `
create table meta(key text primary key, value text not null) without rowid;
create table attachment(
  network text, container text, ifname text, bridge text, record text not null,
  primary key(network, container, ifname)) without rowid;
create index attachment_bridge on attachment(bridge) where bridge is not null;
create table address(
  network text, address text, pool text not null, container text, ifname text,
  turn integer not null, primary key(network, address)) without rowid;
create index address_held on address(network, container, ifname) where container is not null;
create index address_released on address(network, pool, turn) where container is null;
create table cursor(
  network text, pool text, next text not null, primary key(network, pool)) without rowid`,
  extrasSchema,
  hostPortSchema,
  delegateSchema,
]

export type Held = { readonly address: Address; readonly pool: string }

/** Attachments and leases of every network that shares one data directory, in one transaction. */
export class LeaseStore {
  readonly #db: Database
  readonly extras: ExtrasTable
  readonly delegates: DelegateTable
  readonly cluster: ClusterRecord

  private constructor(db: Database) {
    this.#db = db
    this.extras = new ExtrasTable(db)
    this.delegates = new DelegateTable(db)
    this.cluster = new ClusterRecord(db)
  }

  static open(folder: string, lock: Lock, kept?: OpenDatabases): LeaseStore {
    return new LeaseStore(Database.open({ folder, schema, lock, kept }))
  }

  /**
   * Opens, uses, commits; rolls back if `use` throws. A file that turns out unreadable on the way
   * is moved aside, and `use` gets an empty store instead.
   * @param kept where the file stays open for the next time
   */
  static use<T>(
    dataDir: string,
    lock: Lock,
    use: (store: LeaseStore) => T,
    kept?: OpenDatabases,
  ): T {
    const store = LeaseStore.open(dataDir, lock, kept)
    try {
      return store.#finish(use)
    } catch (refusal) {
      if (!isCorrupt(refusal)) throw refusal
      store.#db.moveAside()
      return LeaseStore.open(dataDir, lock, kept).#finish(use)
    }
  }

  #finish<T>(use: (store: LeaseStore) => T): T {
    let result: T
    try {
      result = use(this)
      this.commit()
    } catch (refusal) {
      if (!isCorrupt(refusal)) this.rollback()
      throw refusal
    }
    return result
  }

  commit(): void {
    this.#db.commit()
  }

  rollback(): void {
    this.#db.rollback()
  }

  meta(key: string): string | undefined {
    const row = this.#db.get('select value from meta where key = ?', key)
    return row && String(row.value)
  }

  setMeta(key: string, value: string): void {
    this.#db.run('insert or replace into meta values(?, ?)', key, value)
  }

  metaKeys(prefix: string): readonly string[] {
    const sql = 'select key from meta where substr(key, 1, ?) = ?'
    return this.#db.all(sql, prefix.length, prefix).map(({ key }) => String(key))
  }

  attachment({ network, container, ifname }: AttachmentId): Attachment | undefined {
    const row = this.#db.get(
      'select record from attachment where network = ? and container = ? and ifname = ?',
      network,
      container,
      ifname,
    )
    return row && recordOf<Attachment>(row)
  }

  /** Of one network, or of all. */
  attachments(network?: string): readonly Attachment[] {
    const rows =
      network === undefined
        ? this.#db.all('select record from attachment')
        : this.#db.all('select record from attachment where network = ?', network)
    return rows.map((row) => recordOf<Attachment>(row))
  }

  isEmpty(): boolean {
    return this.#db.get('select 1 from attachment limit 1') === undefined && this.extras.isEmpty()
  }

  /** Whether anything is on record besides this attachment. */
  hasOthers(id: AttachmentId): boolean {
    return this.#isAny('true', id) || this.extras.hasOthers(id)
  }

  /** Whether another attachment is a port of the bridge. */
  isBridgeShared(id: AttachmentId, bridge: string): boolean {
    return this.#isAny('bridge = ?', id, bridge)
  }

  #isAny(
    where: string,
    { network, container, ifname }: AttachmentId,
    ...values: string[]
  ): boolean {
    const sql =
      `select 1 from attachment where ${where} ` +
      'and not (network = ? and container = ? and ifname = ?) limit 1'
    return this.#db.get(sql, ...values, network, container, ifname) !== undefined
  }

  putAttachment(attachment: Attachment): void {
    const { network, container, ifname } = attachment
    const record = JSON.stringify(attachment)
    this.#db.run(
      'insert or replace into attachment values(?, ?, ?, ?, ?)',
      network,
      container,
      ifname,
      attachment.bridge?.name ?? null,
      record,
    )
  }

  /** The pools' book of one network, as `ipam/allocate` asks it. */
  book(network: string): Book {
    return bookOf(this.#db, network)
  }

  leases(): readonly Lease[] {
    return leasesOf(this.#db)
  }

  /** As `hold`, for leases that another program keeps: `held` tells which. */
  adopt(id: AttachmentId, lease: Held): void {
    this.hold(id, [lease])
    this.#db.run(
      'update address set turn = ? where network = ? and address = ?',
      adoptedTurn,
      id.network,
      addressKey(lease.address),
    )
  }

  /** Every address of the network that somebody holds. */
  held(network: string): readonly HeldAddress[] {
    return heldOf(this.#db, network)
  }

  /** Gives one address back. */
  releaseAddress(network: string, address: Address): void {
    this.#releaseWhere('network = ? and address = ?', network, addressKey(address))
  }

  hold(id: AttachmentId, leases: readonly Held[]): void {
    for (const { address, pool } of leases)
      this.#db.run(
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
      this.#db.run('insert or replace into cursor values(?, ?, ?)', network, pool, addressKey(next))
  }

  /**
   * Addresses that the attachment holds. A legacy lease (see adopt.ts) has no interface name and
   * answers to any.
   */
  heldBy({ network, container, ifname }: AttachmentId): readonly Address[] {
    return this.#db
      .all(
        "select address from address where network = ? and container = ? and ifname in (?, '')",
        network,
        container,
        ifname,
      )
      .map(({ address }) => addressOfKey(String(address)))
  }

  /** Gives the addresses back, to be used again last, and forgets the attachment. */
  release({ network, container, ifname }: AttachmentId): void {
    this.#releaseWhere(
      "network = ? and container = ? and ifname in (?, '')",
      network,
      container,
      ifname,
    )
    this.#db.run(
      'delete from attachment where network = ? and container = ? and ifname = ?',
      network,
      container,
      ifname,
    )
  }

  /**
   * Forgets every attachment and gives every address back: the machine, or its network namespace,
   * is another one now.
   */
  releaseAll(): void {
    this.#releaseWhere('container is not null')
    this.#db.run('delete from attachment')
    this.extras.clear()
    this.delegates.clear()
  }

  /** Containers and interface names that hold an address of the network. */
  holders(network: string): readonly AttachmentId[] {
    return this.#db
      .all(
        'select distinct container, ifname from address ' +
          'where network = ? and container is not null',
        network,
      )
      .map(({ container, ifname }) => ({
        network,
        container: String(container),
        ifname: String(ifname),
      }))
  }

  #releaseWhere(where: string, ...values: readonly string[]): void {
    const held = this.#db.all(
      `select network, address, pool from address where container is not null and ${where}`,
      ...values,
    )
    if (held.length === 0) return
    const turn = Number(this.meta('turn') ?? 0) + 1
    this.setMeta('turn', String(turn))
    for (const row of held) {
      const key = [String(row.network), String(row.address)]
      if (isRemembered(String(row.pool)))
        this.#db.run(
          'update address set container = null, ifname = null, turn = ? ' +
            'where network = ? and address = ?',
          turn,
          ...key,
        )
      else this.#db.run('delete from address where network = ? and address = ?', ...key)
    }
  }
}
