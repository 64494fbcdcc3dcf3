import { addressKey, type Family } from '../base/address.ts'
import { formatPrefix, type Prefix } from '../base/prefix.ts'
import { deviceNames } from '../overlay/device.ts'
import { type Change, type Changes, changesBetween, keyOf } from '../overlay/difference.ts'
import type { FabricEntry, RouteEntry, TunnelDevice } from '../overlay/fabric.ts'
import type { HostLink, HostView } from '../overlay/self.ts'
import { NLM_F_ACK, type Query } from '../wire/netlink/message.ts'
import { IFF_UP, type IfIndex } from '../wire/rtnl/link.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import {
  type ObservedRoute,
  protocolTulle,
  type RoutesOf,
  replaceRoute,
  tableMain,
} from '../wire/rtnl/route.ts'
import {
  describe,
  forwardingEntry,
  neighbourEntry,
  queryOf,
  routeEntry,
  routeOf,
} from './fabric-entries.ts'
import type { Native } from './native.ts'
import { type Fared, NETLINK_ROUTE, NetlinkSocket } from './netlink-socket.ts'
import { errno, KernelRefusal } from './refusal.ts'
import { RouteSocket } from './route-socket.ts'
import { Sysctls } from './sysctl.ts'
import { ensureDevice, faultsOf, isOurDevice, type Place } from './tunnel-devices.ts'

/** Keeps a send within the socket's buffer, and what may be refused within the other one. */
const changesPerSend = 1000
/** `rtm_protocol` of what a router announced (RTPROT_RA, linux/rtnetlink.h). */
const protocolAnnounced = 9
/** What IPv6 gives a route without a priority (IP6_RT_PRIO_USER). */
const ipv6Priority = 1024

export type ObservedFabric = {
  /** Everything that is ours and leads to other nodes, by `keyOf`. */
  readonly entries: ReadonlyMap<string, FabricEntry>
  /** What of the devices is not as wanted, in words. */
  readonly faults: readonly string[]
}

export type ApplyRefusal = { readonly change: Change; readonly text: string }

/**
 * The way to other nodes in one network namespace: tunnel devices, neighbours, forwarding entries
 * and routes. Ours are the devices that bear our alias with all that is on them, and the routes of
 * protocol 116 that `routeEntry` knows; nothing else is ever changed or removed.
 */
export class FabricSocket {
  readonly #socket: NetlinkSocket
  readonly #place: Place

  /** @param netnsFd a descriptor of the namespace, or -1 for the process's own. */
  constructor(native: Native, netnsFd = -1) {
    this.#socket = new NetlinkSocket(native, netnsFd, NETLINK_ROUTE)
    const route = new RouteSocket(native, netnsFd, 'the host')
    this.#place = { route, sysctls: new Sysctls(native, netnsFd) }
  }

  /** Links and addresses, as `selfOf` wants them. */
  view(): HostView {
    const { route } = this.#place
    const addresses = route.allAddresses()
    const announced = Map.groupBy(
      this.#routes(6, { protocol: protocolAnnounced }).filter(
        ({ protocol, gateway }) => protocol === protocolAnnounced && !gateway,
      ),
      ({ link }) => link,
    )
    const links = route.links().map(
      ({ index, name, mtuBytes, flags }): HostLink => ({
        name,
        mtuBytes,
        isUp: (flags & IFF_UP) !== 0,
        addresses: addresses.get(index) ?? [],
        announced: (announced.get(index) ?? []).map(({ destination }) => destination),
      }),
    )
    return { links }
  }

  /** What is there of ours, and how the devices differ from these. */
  observe(devices: readonly TunnelDevice[]): ObservedFabric {
    const links = this.#place.route.links()
    const ours = links.filter(isOurDevice)
    const names = new Map(links.map(({ index, name }) => [index, name]))
    const entries = new Map<string, FabricEntry>()
    const found = [
      ...ours.flatMap((device) => this.#entriesOn(device)),
      ...this.#routesOfOurs(names, new Set(ours.map(({ name }) => name))),
    ]
    for (const entry of found) entries.set(freeKey(entry, entries), entry)
    return { entries, faults: devices.flatMap((device) => this.#faults(device, links)) }
  }

  /**
   * Makes the devices as wanted, in place where the kernel can, anew where it can't, and removes
   * those of ours that are not wanted. What was done, in words. A device made anew has lost what
   * was on it: `observe` again.
   */
  ensureDevices(devices: readonly TunnelDevice[]): readonly string[] {
    const changed = this.#devices()
      .filter(({ name }) => !devices.some((one) => one.name === name))
      .flatMap(({ name }) => (this.#place.route.deleteLink(name) ? [`removed ${name}`] : []))
    for (const device of devices) changed.push(...ensureDevice(this.#place, device))
    return changed
  }

  /** In their order, many in one send; what the kernel or we refused, the rest being done. */
  apply(changes: Changes): readonly ApplyRefusal[] {
    const refusals: ApplyRefusal[] = []
    const links = new Map<string, IfIndex | undefined>()
    for (let at = 0; at < changes.length; at += changesPerSend) {
      const part = changes.slice(at, at + changesPerSend)
      refusals.push(...this.#applyPart(part, links))
    }
    return refusals
  }

  /** Names of the devices of ours that are there. */
  deviceNames(): readonly string[] {
    return this.#devices().map(({ name }) => name)
  }

  /** Removes our devices, and with them everything that is on them. */
  dropDevices(): void {
    for (const { name } of this.#devices()) this.#place.route.deleteLink(name)
  }

  /** Removes all that is ours: direct routes too. */
  dropAll(): readonly ApplyRefusal[] {
    this.dropDevices()
    return this.apply(changesBetween(new Map(), this.observe([]).entries))
  }

  /** Nothing of ours is there. */
  isEmpty(): boolean {
    return this.#devices().length === 0 && this.observe([]).entries.size === 0
  }

  close(): void {
    this.#socket.close()
    this.#place.route.close()
  }

  #devices(): readonly Link[] {
    return Object.values(deviceNames).flatMap((name) => {
      const link = this.#place.route.link({ name })
      return link && isOurDevice(link) ? [link] : []
    })
  }

  #faults(device: TunnelDevice, links: readonly Link[]): readonly string[] {
    const link = links.find(({ name }) => name === device.name)
    if (!link) return [`there is no ${device.name}`]
    return faultsOf(device, link, this.#place.route.addresses(link.index))
  }

  #applyPart(changes: Changes, links: Map<string, IfIndex | undefined>): readonly ApplyRefusal[] {
    const refusals: ApplyRefusal[] = []
    const sent: { readonly change: Change; readonly query: Query }[] = []
    for (const change of changes) {
      const { link } = change.entry
      if (!links.has(link)) links.set(link, this.#place.route.link({ name: link })?.index)
      const index = links.get(link)
      if (index !== undefined) sent.push({ change, query: unacknowledged(queryOf(change, index)) })
      // what was on a link went with it
      else if (change.kind !== 'delete') refusals.push(refusalOf(change, { errno: errno.ENODEV }))
    }
    const contested: Change[] = []
    const fared = this.#socket.exchange(sent.map(({ query }) => query))
    for (const [at, outcome] of fared.entries()) {
      const change = sent[at]?.change
      if (!change || outcome.errno === 0) continue
      if (change.kind === 'delete' && isGone(outcome.errno)) continue
      if (outcome.errno === errno.EEXIST && change.entry.kind === 'route') contested.push(change)
      else refusals.push(refusalOf(change, outcome))
    }
    return [...refusals, ...this.#contest(contested, links)]
  }

  /** Routes whose place is taken: by us, unknown to the caller, or by somebody else. */
  #contest(
    contested: readonly Change[],
    links: ReadonlyMap<string, IfIndex | undefined>,
  ): readonly ApplyRefusal[] {
    if (contested.length === 0) return []
    const taken = ([4, 6] as const).flatMap((family) => this.#routes(family, {}))
    const byPlace = Map.groupBy(taken, ({ destination }) => placeOf(destination))
    return contested.flatMap((change): ApplyRefusal[] => {
      const { entry } = change
      const index = links.get(entry.link)
      if (entry.kind !== 'route' || index === undefined) return []
      const rivals = (byPlace.get(placeOf(entry.destination)) ?? []).filter(hasOurPriority)
      const foreign = rivals.find(({ protocol, gateway }) => protocol !== protocolTulle || !gateway)
      if (foreign) return [{ change, text: explainRival(entry, foreign) }]
      const [outcome] = this.#socket.exchange([replaceRoute(routeOf(entry, index))])
      return outcome && outcome.errno !== 0 ? [refusalOf(change, outcome)] : []
    })
  }

  #entriesOn({ index, name }: Link): readonly FabricEntry[] {
    const { route } = this.#place
    const neighbours = route
      .neighbours({ link: index })
      .flatMap((one) => (one.link === index ? (neighbourEntry(one, name) ?? []) : []))
    const forwarding = route.forwarding(index).flatMap((one) => forwardingEntry(one, name) ?? [])
    return [...neighbours, ...forwarding]
  }

  #routesOfOurs(
    names: ReadonlyMap<IfIndex, string>,
    devices: ReadonlySet<string>,
  ): readonly FabricEntry[] {
    return ([4, 6] as const).flatMap((family) =>
      this.#routes(family, { protocol: protocolTulle }).flatMap((route) => {
        const link = route.link && names.get(route.link)
        return (link && routeEntry(route, link, devices.has(link) ? 'device' : 'uplink')) || []
      }),
    )
  }

  /** Of the main table; none where the kernel runs without the family. */
  #routes(family: Family, of: RoutesOf): readonly ObservedRoute[] {
    try {
      return this.#place.route.routes(family, { ...of, table: tableMain })
    } catch (refusal) {
      if (refusal instanceof KernelRefusal && lacksFamily.includes(refusal.errno)) return []
      throw refusal
    }
  }
}

const lacksFamily: readonly number[] = [errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.ENOENT]

const isGone = (number: number): boolean =>
  number === errno.ENOENT || number === errno.ESRCH || number === errno.ENODEV

/** The kernel then answers refusals alone, which saves 5,000 acknowledgements. */
const unacknowledged = (query: Query): Query => ({ ...query, flags: query.flags & ~NLM_F_ACK })

/**
 * A VXLAN device may hold several destinations of one MAC, of which we want one: the others get
 * keys that nobody wants, and go.
 */
function freeKey(entry: FabricEntry, entries: ReadonlyMap<string, FabricEntry>): string {
  const key = keyOf(entry)
  return entry.kind === 'fdb' && entries.has(key) ? `${key} ${addressKey(entry.destination)}` : key
}

const placeOf = ({ address, bits }: Prefix): string => `${addressKey(address)}/${bits}`

const hasOurPriority = ({ priority, destination }: ObservedRoute): boolean =>
  priority === (destination.address.family === 6 ? ipv6Priority : 0)

const refusalOf = (
  change: Change,
  {
    errno: number,
    kernelText,
  }: Pick<Fared, 'errno'> & { readonly kernelText?: string | undefined },
): ApplyRefusal => ({
  change,
  text: new KernelRefusal({
    what: `${change.kind} ${describe(change.entry)}`,
    errno: number,
    kernelText,
  }).message,
})

function explainRival({ destination, link }: RouteEntry, rival: ObservedRoute): string {
  const text = formatPrefix(destination)
  return (
    `Cannot add route ${text} dev ${link}: somebody else's route to it is there ` +
    `(protocol ${rival.protocol}, link ${rival.link ?? 'none'}); remove it (ip route del ${text})`
  )
}
