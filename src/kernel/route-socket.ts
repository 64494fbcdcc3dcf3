import type { Address, Family } from '../base/address.ts'
import type { Prefix } from '../base/prefix.ts'
import type { Step } from '../datapath/steps.ts'
import type { Message, Query } from '../wire/netlink/message.ts'
import { decodeAddress, dumpAddresses } from '../wire/rtnl/address.ts'
import { decodeFilter, dumpFilters, type ObservedFilter } from '../wire/rtnl/filter.ts'
import {
  decodeForwarding,
  dumpForwarding,
  type ObservedForwarding,
} from '../wire/rtnl/forwarding.ts'
import { deleteLink, dumpLinks, getLink, type IfIndex, setDown } from '../wire/rtnl/link.ts'
import { decodeNeighbour, dumpNeighbours, type ObservedNeighbour } from '../wire/rtnl/neighbour.ts'
import { decodeLink, type Link } from '../wire/rtnl/observed-link.ts'
import { decodeQdisc, dumpQdiscs, type ObservedQdisc } from '../wire/rtnl/qdisc.ts'
import {
  decodeRoute,
  dumpRoutes,
  getRoute,
  type ObservedRoute,
  type RoutesOf,
} from '../wire/rtnl/route.ts'
import { type Hook, linkOf } from '../wire/rtnl/traffic-control.ts'
import { deletionOf } from './link-deletion.ts'
import type { Native } from './native.ts'
import { NETLINK_ROUTE, NetlinkSocket } from './netlink-socket.ts'
import { errno, KernelRefusal } from './refusal.ts'

/** Their answers have to fit into the socket's buffer. */
const queriesAtOnce = 500

/** No route, a prohibited or blackholed one, or a family that the kernel runs without. */
const noWay = [
  errno.ENETUNREACH,
  errno.EHOSTUNREACH,
  errno.ESRCH,
  errno.EACCES,
  errno.EINVAL,
  errno.EOPNOTSUPP,
  errno.EAFNOSUPPORT,
]

/** rtnetlink in one namespace: the questions that Tulle asks, and the running of steps. */
export class RouteSocket {
  readonly #socket: NetlinkSocket
  /** Names the namespace in errors: "the pod", "the host". */
  readonly #where: string

  constructor(native: Native, netnsFd: number, where: string) {
    this.#socket = new NetlinkSocket(native, netnsFd, NETLINK_ROUTE)
    this.#where = where
  }

  netnsCookie(): bigint | undefined {
    return this.#socket.netnsCookie()
  }

  link(by: { name: string } | { index: IfIndex }): Link | undefined {
    const found = this.#unless(
      [errno.ENODEV],
      `look up link ${'name' in by ? by.name : by.index}`,
      getLink(by),
    )
    return found && decodeLink(found.body)
  }

  links(): readonly Link[] {
    return this.#ask('list links', dumpLinks()).map(({ body }) => decodeLink(body))
  }

  addresses(link: IfIndex): readonly Prefix[] {
    return this.#ask('list addresses', dumpAddresses(link)).flatMap(({ body }) => {
      const address = decodeAddress(body)
      return address?.link === link ? [address.prefix] : []
    })
  }

  /** Of every link. */
  allAddresses(): ReadonlyMap<IfIndex, readonly Prefix[]> {
    const everyLink = 0 as IfIndex
    const found = new Map<IfIndex, Prefix[]>()
    for (const { body } of this.#ask('list addresses', dumpAddresses(everyLink))) {
      const address = decodeAddress(body)
      if (!address) continue
      const known = found.get(address.link)
      if (known) known.push(address.prefix)
      else found.set(address.link, [address.prefix])
    }
    return found
  }

  neighbours(of: { readonly link?: IfIndex } = {}): readonly ObservedNeighbour[] {
    return this.#ask('list neighbours', dumpNeighbours(of))
      .flatMap(({ body }) => decodeNeighbour(body) ?? [])
      .filter(({ link }) => of.link === undefined || link === of.link)
  }

  /** Of one VXLAN device; an older kernel may answer those of others too. */
  forwarding(link: IfIndex): readonly ObservedForwarding[] {
    return this.#ask('list forwarding entries', dumpForwarding(link)).flatMap(({ body }) => {
      const one = decodeForwarding(body)
      return one?.link === link ? [one] : []
    })
  }

  routes(family: Family, of: RoutesOf = {}): readonly ObservedRoute[] {
    return this.#ask(`list IPv${family} routes`, dumpRoutes(family, of))
      .flatMap(({ body }) => decodeRoute(body) ?? [])
      .filter(({ link }) => of.link === undefined || link === of.link)
  }

  qdiscs(links: readonly IfIndex[]): readonly ObservedQdisc[] {
    return this.#ask('list qdiscs', dumpQdiscs())
      .filter(({ body }) => links.includes(linkOf(body)))
      .map(({ body }) => decodeQdisc(body))
  }

  filters(link: IfIndex, hook: Hook): readonly ObservedFilter[] {
    return this.#ask(`list ${hook} filters`, dumpFilters(link, hook)).map(({ body }) =>
      decodeFilter(body),
    )
  }

  /** The route that the kernel would take, or undefined if it knows no way. */
  routeTo(address: Address): ObservedRoute | undefined {
    const found = this.#unless(noWay, 'ask for a route', getRoute(address))
    return found && decodeRoute(found.body)
  }

  /** Sends the steps at once, in order; the first refusal that is not "so already" is thrown. */
  run(steps: readonly Step[]): void {
    const fared = this.#socket.exchange(steps.map(({ query }) => query))
    for (const [at, { errno: number, kernelText }] of fared.entries()) {
      const step = steps[at]
      if (!step || number === 0 || step.settled?.includes(number)) continue
      throw new KernelRefusal({ what: `${step.what} (${this.#where})`, errno: number, kernelText })
    }
  }

  /** Makes a link; false if one of that name is there already. */
  create(step: Step): boolean {
    const [fared] = this.#socket.exchange([step.query])
    if (!fared || fared.errno === 0) return true
    if (fared.errno === errno.EEXIST) return false
    const what = `${step.what} (${this.#where})`
    throw new KernelRefusal({ what, errno: fared.errno, kernelText: fared.kernelText })
  }

  /** Takes a link down; true if it was there. */
  setDown(name: string): boolean {
    return this.#changeIfThere(`take down link ${name}`, setDown(name))
  }

  /** True if it was there. The kernel waits for everybody who may still look at it: 15 to 35 ms. */
  deleteLink(name: string): boolean {
    return this.#changeIfThere(`delete link ${name}`, deleteLink({ name }))
  }

  /** Those that are there, with one wait for all of them. */
  deleteLinks(names: readonly string[]): void {
    const queries = deletionOf(names.map((name) => ({ name })))
    for (let at = 0; at < queries.length; at += queriesAtOnce)
      for (const fared of this.#socket.exchange(queries.slice(at, at + queriesAtOnce)))
        if (fared.errno !== 0 && fared.errno !== errno.ENODEV)
          throw new KernelRefusal({ ...fared, what: `delete links ${names.join(', ')}` })
  }

  #changeIfThere(what: string, query: Query): boolean {
    const [fared] = this.#socket.exchange([query])
    if (!fared || fared.errno === 0) return true
    if (fared.errno === errno.ENODEV) return false
    throw new KernelRefusal({ what, errno: fared.errno, kernelText: fared.kernelText })
  }

  /**
   * True if the kernel can make veth pairs: it finds fault with a malformed one, instead of not
   * knowing it.
   */
  canMake(probe: Query): boolean {
    return this.#socket.exchange([probe])[0]?.errno !== errno.EOPNOTSUPP
  }

  close(): void {
    this.#socket.close()
  }

  #ask(what: string, query: Query): readonly Message[] {
    return this.#socket.ask(`${what} (${this.#where})`, query)
  }

  /** As `#ask` for a single answer; undefined where the refusal only says that it is not there. */
  #unless(absent: readonly number[], what: string, query: Query): Message | undefined {
    const [fared] = this.#socket.exchange([query])
    if (!fared || absent.includes(fared.errno)) return undefined
    if (fared.errno === 0) return fared.answers[0]
    const where = `${what} (${this.#where})`
    throw new KernelRefusal({ what: where, errno: fared.errno, kernelText: fared.kernelText })
  }
}
