import {
  type GuardedPorts,
  nodePortCounter,
  nodePortQueries,
  nodePortRules,
  nodePortTable,
  noNodePortQueries,
} from '../datapath/node-port-guard.ts'
import type { Query } from '../wire/netlink/message.ts'
import { nftBatch } from '../wire/nft/message.ts'
import { decodeCounter, dumpCounters } from '../wire/nft/notice.ts'
import { decodeRule, dumpRules } from '../wire/nft/table.ts'
import type { Native } from './native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts'
import { refusedBatch } from './refusal.ts'

/** The guard of node ports in the host's namespace, a table of its own. */
export class NodePortSocket {
  readonly #socket: NetlinkSocket

  constructor(native: Native) {
    this.#socket = new NetlinkSocket(native, -1, NETLINK_NETFILTER)
  }

  /** In one batch, in the place of what is there. */
  load(guarded: readonly GuardedPorts[]): void {
    this.#commit(nodePortQueries(guarded))
  }

  remove(): void {
    if (this.#comments().length > 0) this.#commit(noNodePortQueries())
  }

  /** Its rules are there, and nothing before them. */
  isWhole(): boolean {
    const there = this.#comments()
    return nodePortRules().every(({ comment }, at) => there[at] === comment)
  }

  /** Packets that were refused since the table was made. */
  refused(): number {
    return this.#socket
      .list('list the counter of guarded node ports', dumpCounters(nodePortTable))
      .map(({ body }) => decodeCounter(body))
      .filter(({ counter }) => counter === nodePortCounter)
      .reduce((sum, { packets }) => sum + packets, 0)
  }

  close(): void {
    this.#socket.close()
  }

  #comments(): readonly string[] {
    return this.#socket
      .list('list the guard of node ports', dumpRules(nodePortTable))
      .map(({ body }) => decodeRule(body))
      .filter(({ table }) => table === nodePortTable.table)
      .map(({ comment = '' }) => comment)
  }

  #commit(queries: readonly Query[]): void {
    const [refusal] = this.#socket.commitBatch(nftBatch(queries))
    if (refusal) throw refusedBatch('make the guard of node ports', refusal)
  }
}
