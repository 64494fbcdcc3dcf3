import type { AttachmentId } from '../datapath/attachment.ts'
import { type Extras, gateOf } from '../datapath/extras.ts'
import type { IsolationPolicy } from '../datapath/isolation.ts'
import { type Database, recordOf } from './database.ts'
import { HostPortTable } from './host-port-table.ts'

/** gate: the link through which other pods reach this one, shared by all behind one bridge. */
export const extrasSchema = `
create table extras(
  network text, container text, ifname text, plugin text, gate text, record text not null,
  primary key(network, container, ifname, plugin)) without rowid`

/** The links of a pod whose forwarded packets the host's firewall is to accept. */
const isAccepted =
  "json_extract(record, '$.isAccepted') and " +
  "case when ? then json_extract(record, '$.bridge') is null and " +
  'substr(gate, 1, length(?)) = ? else gate = ? end'
type Links = { readonly name: string; readonly isPrefix: boolean }
const wordsOf = ({ name, isPrefix }: Links): readonly (string | number)[] => [
  Number(isPrefix),
  name,
  name,
  name,
]

const isOther = 'not (network = ? and container = ? and ifname = ?)'

/** What plugins gave to interfaces besides making them: one row an interface and plugin. */
export class ExtrasTable {
  readonly #db: Database
  readonly hostPorts: HostPortTable

  constructor(db: Database) {
    this.#db = db
    this.hostPorts = new HostPortTable(db)
  }

  put(extras: Extras): void {
    const { network, container, ifname, plugin } = extras
    this.#db.run(
      'insert or replace into extras values(?, ?, ?, ?, ?, ?)',
      network,
      container,
      ifname,
      plugin,
      gateOf(extras),
      JSON.stringify(extras),
    )
    if (extras.hostPorts) this.hostPorts.put(extras)
  }

  /** What every plugin gave this interface. */
  of({ network, container, ifname }: AttachmentId): readonly Extras[] {
    const where = 'network = ? and container = ? and ifname = ?'
    return this.#select(where, network, container, ifname)
  }

  /** Of one network, or of all. */
  all(network?: string): readonly Extras[] {
    return network === undefined ? this.#select('true') : this.#select('network = ?', network)
  }

  /** Of all others behind the same bridge. */
  behind(gate: string, { network, container, ifname }: AttachmentId): readonly Extras[] {
    return this.#select(`gate = ? and ${isOther}`, gate, network, container, ifname)
  }

  /** Policies of the others behind the same gate. */
  policiesBehind(gate: string, { network, container, ifname }: AttachmentId): IsolationPolicy[] {
    const sql =
      "select distinct json_extract(record, '$.isolation.policy') as policy from extras " +
      `where gate = ? and policy is not null and ${isOther}`
    return this.#db
      .all(sql, gate, network, container, ifname)
      .map(({ policy }) => policy as IsolationPolicy)
  }

  /** Whether anybody else by these links has accept rules. */
  hasOthersAccepted({ network, container, ifname, plugin }: Extras, links: Links): boolean {
    const sql =
      `select 1 from extras where ${isAccepted} and not ` +
      '(network = ? and container = ? and ifname = ? and plugin = ?) limit 1'
    const words = wordsOf(links)
    return this.#db.get(sql, ...words, network, container, ifname, plugin) !== undefined
  }

  isAnyAccepted(links: Links): boolean {
    const sql = `select 1 from extras where ${isAccepted} limit 1`
    return this.#db.get(sql, ...wordsOf(links)) !== undefined
  }

  hasOthers({ network, container, ifname }: AttachmentId): boolean {
    const sql = `select 1 from extras where ${isOther} limit 1`
    return this.#db.get(sql, network, container, ifname) !== undefined
  }

  /** Whether Tulle has opened this link to the host's loopback addresses for another pod too. */
  isGateOurs(gate: string, { network, container, ifname }: AttachmentId): boolean {
    const sql =
      `select 1 from extras where gate = ? and ${isOther} ` +
      "and json_extract(record, '$.hostPorts.isGateOurs') limit 1"
    return this.#db.get(sql, gate, network, container, ifname) !== undefined
  }

  isEmpty(): boolean {
    return this.#db.get('select 1 from extras limit 1') === undefined
  }

  drop(extras: Extras): void {
    const { network, container, ifname, plugin } = extras
    if (extras.hostPorts) this.hostPorts.drop(extras)
    this.#db.run(
      'delete from extras where network = ? and container = ? and ifname = ? and plugin = ?',
      network,
      container,
      ifname,
      plugin,
    )
  }

  clear(): void {
    this.#db.run('delete from extras')
    this.hostPorts.clear()
  }

  #select(where: string, ...values: readonly string[]): readonly Extras[] {
    return this.#db
      .all(`select record from extras where ${where}`, ...values)
      .map((row) => recordOf<Extras>(row))
  }
}
