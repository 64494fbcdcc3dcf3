import { type Address, addressKey } from '../base/address.ts'
import type { AttachmentId } from '../datapath/attachment.ts'
import type { Extras } from '../datapath/extras.ts'
import { type Forward, forwardsOf } from '../datapath/host-ports.ts'
import type { Database } from './database.ts'

/**
 * host: the address that the port is bound to, as `addressKey` has it, or the family's digit alone
 * for every address.
 */
export const hostPortSchema = `
create table host_port(
  protocol text, port integer, host text, network text, container text, ifname text, plugin text,
  primary key(protocol, port, host, network, container, ifname, plugin)) without rowid;
create index host_port_owner on host_port(network, container, ifname, plugin)`

const hostOf = ({ host, pod }: Forward): string => (host ? addressKey(host) : everyHost(pod))
const everyHost = ({ family }: Address): string => String(family)

/** Who has which port of the host, whatever they have besides: one row a port and family. */
export class HostPortTable {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  put(extras: Extras): void {
    const { network, container, ifname, plugin } = extras
    for (const forward of forwardsOf(extras.ips, extras.hostPorts?.mappings ?? []))
      this.#db.run(
        'insert or replace into host_port values(?, ?, ?, ?, ?, ?, ?)',
        forward.protocol,
        forward.hostPort,
        hostOf(forward),
        network,
        container,
        ifname,
        plugin,
      )
  }

  /** Another attachment whose port this is, or overlaps, as one of them is of every address. */
  otherOwner(forward: Forward, id: AttachmentId): AttachmentId | undefined {
    const every = everyHost(forward.pod)
    const hosts = forward.host ? 'host in (?, ?)' : 'host between ? and ?'
    const row = this.#db.get(
      'select network, container, ifname from host_port ' +
        `where protocol = ? and port = ? and ${hosts} ` +
        'and not (network = ? and container = ? and ifname = ?) limit 1',
      forward.protocol,
      forward.hostPort,
      every,
      forward.host ? hostOf(forward) : `${every}g`,
      id.network,
      id.container,
      id.ifname,
    )
    if (!row) return undefined
    const { network, container, ifname } = row
    return { network: String(network), container: String(container), ifname: String(ifname) }
  }

  drop({ network, container, ifname, plugin }: Extras): void {
    this.#db.run(
      'delete from host_port where network = ? and container = ? and ifname = ? and plugin = ?',
      network,
      container,
      ifname,
      plugin,
    )
  }

  clear(): void {
    this.#db.run('delete from host_port')
  }
}
