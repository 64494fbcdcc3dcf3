import { concat } from '../base/bytes.ts'
import { encodeMessage } from '../wire/netlink/message.ts'
import type { IfIndex } from '../wire/rtnl/link.ts'
import { deletionOf } from './link-deletion.ts'
import type { Native } from './native.ts'
import { errno, KernelRefusal } from './refusal.ts'

/** More at once would be threads that wait for one grace period; they go with the next request. */
const requestsMax = 4
/** A request's messages fit into one datagram of the socket's default buffer. */
const linksMax = 500

type Request = { readonly handle: number; readonly links: ReadonlySet<IfIndex> }

/**
 * Deletes links without waiting for the kernel's answer. A deleted link has left its namespace, by
 * name, index, address and route, a fraction of a millisecond after the request, and the lock of
 * all links is free again; the kernel then keeps the caller for a grace period, in which it frees
 * the memory (net/core/dev.c: unlist_netdevice, netdev_run_todo). Whoever has to know asks for the
 * link. All is by index: a request that waits its turn must not meet another link of that name.
 */
export class LinkRemover {
  readonly #native: Native
  #requests: readonly Request[] = []
  #waiting = new Set<IfIndex>()
  readonly #refusals = new Map<IfIndex, number>()

  constructor(native: Native) {
    this.#native = native
  }

  /** Begins; `advance` has to be called until all of them are gone. */
  remove(links: readonly IfIndex[]): void {
    for (const link of links) this.#waiting.add(link)
    this.advance()
  }

  /** Sends what waits, if there is room; hears what was answered. */
  advance(): void {
    this.#requests = this.#requests.filter((request) => !this.#isAnswered(request))
    while (this.#waiting.size > 0 && this.#requests.length < requestsMax) {
      const links = [...this.#waiting].slice(0, linksMax)
      for (const link of links) this.#waiting.delete(link)
      this.#send(links)
    }
  }

  /** @throws {KernelRefusal} if the kernel would not delete one of them. */
  refuse(links: readonly IfIndex[]): void {
    for (const link of links) {
      const number = this.#refusals.get(link)
      if (number === undefined) continue
      this.#refusals.delete(link)
      throw new KernelRefusal({ what: `delete the link of index ${link}`, errno: number })
    }
  }

  #send(links: readonly IfIndex[]): void {
    const queries = deletionOf(links.map((index) => ({ index })))
    const bytes = concat(queries.map((query, at) => encodeMessage({ ...query, sequence: at + 1 })))
    const handle = this.#native.sendLater(bytes, bytes.length)
    if (handle < 0) throw new KernelRefusal({ what: 'delete links on a thread', errno: -handle })
    this.#requests = [...this.#requests, { handle, links: new Set(links) }]
  }

  #isAnswered({ handle, links }: Request): boolean {
    const answer = this.#native.sentLater(handle)
    if (answer === 1) return false
    if (answer < 0 && answer !== -errno.ENODEV)
      for (const link of links) this.#refusals.set(link, -answer)
    return true
  }
}
