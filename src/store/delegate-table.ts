import type { AttachmentId } from '../datapath/attachment.ts'
import type { Database } from './database.ts'

export const delegateSchema = `
create table delegate(
  network text, container text, ifname text, conf text not null,
  primary key(network, container, ifname)) without rowid`

/**
 * Configurations that `flannel` made of subnet.env and handed to another plugin: what ADD was asked
 * with is what DEL and CHECK ask with, whatever became of subnet.env since.
 */
export class DelegateTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  put({ network, container, ifname }: AttachmentId, conf: string): void {
    const sql = 'insert or replace into delegate values(?, ?, ?, ?)'
    this.#db.run(sql, network, container, ifname, conf)
  }

  /** The configuration as JSON text. */
  of({ network, container, ifname }: AttachmentId): string | undefined {
    const row = this.#db.get(
      'select conf from delegate where network = ? and container = ? and ifname = ?',
      network,
      container,
      ifname,
    )
    return row && String(row.conf)
  }

  all(network: string): readonly AttachmentId[] {
    return this.#db
      .all('select container, ifname from delegate where network = ?', network)
      .map(({ container, ifname }) => ({
        network,
        container: String(container),
        ifname: String(ifname),
      }))
  }

  drop({ network, container, ifname }: AttachmentId): void {
    const sql = 'delete from delegate where network = ? and container = ? and ifname = ?'
    this.#db.run(sql, network, container, ifname)
  }

  clear(): void {
    this.#db.run('delete from delegate')
  }
}
