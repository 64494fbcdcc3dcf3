import {
  decodeFlow,
  deleteFlow,
  dumpFlows,
  type Flow,
  type PortFilter,
} from '../wire/conntrack/flow.ts'
import type { Native } from './native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts'
import { errno, KernelRefusal } from './refusal.ts'

/** The connection table of the process's own namespace. */
export class ConntrackSocket {
  readonly #socket: NetlinkSocket

  constructor(native: Native) {
    this.#socket = new NetlinkSocket(native, -1, NETLINK_NETFILTER)
  }

  /**
   * Forgets entries of one destination port, those that are chosen; how many. The next packet of
   * such a connection is looked at as if it were the first.
   */
  forget(filter: PortFilter, isChosen: (flow: Flow) => boolean): number {
    const { protocol, port } = filter
    const flows = this.#socket
      .ask(`list connections to port ${port}`, dumpFlows(filter))
      .flatMap(({ body }) => decodeFlow(body) ?? [])
      .filter(({ original }) => original.protocol === protocol && original.targetPort === port)
      .filter(isChosen)
    for (let at = 0; at < flows.length; at += deletionsAtOnce)
      for (const { errno: number, kernelText } of this.#socket.exchange(
        flows.slice(at, at + deletionsAtOnce).map(deleteFlow),
      ))
        if (number !== 0 && number !== errno.ENOENT)
          throw new KernelRefusal({
            what: `delete a connection to port ${port}`,
            errno: number,
            kernelText,
          })
    return flows.length
  }

  close(): void {
    this.#socket.close()
  }
}

/** Their acknowledgements have to fit into the socket's buffer. */
const deletionsAtOnce = 64
