import type { Result } from './attachment.ts'
import type { Pod } from './host.ts'
import type { Netns } from './netns.ts'

/** Facts about an attachment, each under a path such as `pod.routes[default].gateway`. */
export type Seen = ReadonlyMap<string, string>

type Row = Readonly<Record<string, unknown>>

/** Keys of `ip -j` that say what a link, address or route is; no times, no counters. */
const told = {
  link: ['mtu', 'link_type', 'promiscuity', 'qdisc', 'flags', 'ifalias'],
  address: ['prefixlen', 'scope', 'nodad', 'noprefixroute', 'broadcast'],
  route: ['gateway', 'dev', 'scope', 'protocol', 'metric', 'prefsrc', 'flags', 'type'],
  neighbour: ['lladdr', 'state'],
  port: ['hairpin', 'isolated', 'learning', 'flood'],
} as const

/** Link-local addresses and what the kernel derives from them come late, and by the MAC. */
const isLate = (text: string): boolean => /^(fe80|ff00|multicast|anycast)/.test(text)

/** Collects facts; names, MACs and paths, which differ from run to run, by what they stand for. */
class Look {
  readonly seen = new Map<string, string>()
  readonly #names: readonly (readonly [text: string, name: string])[]

  constructor(names: readonly (readonly [string, string])[]) {
    this.#names = names.filter(([text]) => text !== '')
  }

  #renamed(text: string): string {
    return this.#names.reduce((all, [from, to]) => all.replaceAll(from, to), text)
  }

  put(path: string, value: unknown): void {
    if (value !== undefined)
      this.seen.set(this.#renamed(path), this.#renamed(JSON.stringify(value)))
  }

  putKeys(path: string, row: Row | undefined, keys: readonly string[]): void {
    for (const key of keys) this.put(`${path}.${key}`, row?.[key])
  }

  /** Every leaf of a JSON value. */
  putAll(path: string, value: unknown): void {
    if (typeof value !== 'object' || value === null || Object.keys(value).length === 0) {
      this.put(path, value)
      return
    }
    for (const [key, child] of Object.entries(value)) {
      this.putAll(Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`, child)
    }
  }

  link(netns: Netns, name: string, at: string): void {
    const [link] = netns.ipJson('link', 'show', 'dev', name)
    this.putKeys(at, link, told.link)
    const info = link?.linkinfo as Row | undefined
    this.put(`${at}.kind`, info?.info_kind)
    this.putKeys(`${at}.port`, info?.info_slave_data as Row | undefined, told.port)
    const [shown] = netns.ipJson('addr', 'show', 'dev', name)
    for (const one of (shown?.addr_info ?? []) as Row[]) {
      if (isLate(String(one.local))) continue
      this.putKeys(`${at}.addresses[${one.local}]`, one, told.address)
    }
    for (const one of netns.ipJson('neigh', 'show', 'dev', name, 'nud', 'permanent')) {
      this.putKeys(`${at}.neighbours[${one.dst}]`, one, told.neighbour)
    }
  }

  routes(netns: Netns, at: string): void {
    for (const family of ['-4', '-6']) {
      for (const one of netns.ipJson(family, 'route', 'show', 'table', 'main')) {
        if (isLate(String(one.dst)) || one.dev === 'up0' || one.dev === 'lo') continue
        this.putKeys(`${at}.routes[${family} ${one.dst}]`, one, told.route)
      }
    }
  }
}

const macOf = (netns: Netns, name: string): string =>
  String(netns.ipJson('link', 'show', 'dev', name)[0]?.address ?? '')

/** Carrier follows some milliseconds after both ends are up. */
function awaitCarrier(netns: Netns, name: string): void {
  for (let time = 0; time < 200; time += 1) {
    const flags = netns.ipJson('link', 'show', 'dev', name)[0]?.flags as string[]
    if (flags.includes('LOWER_UP')) return
  }
}

/** Everything that the only attachment of a host shows: its result, and both sides of it. */
export function lookAt(pod: Pod, result: Result): Seen {
  const { netns: host } = pod.host
  const links = host.ipJson('link', 'show').map(({ ifname }) => String(ifname))
  const veth = links.find((name) => /^(veth|tul)/.test(name)) ?? ''
  const bridge = links.find((name) => name === 'cni0')
  for (const name of [veth, ...(bridge ? [bridge] : [])]) awaitCarrier(host, name)
  const look = new Look([
    [pod.netns.path, 'NETNS'],
    [pod.container, 'CONTAINER'],
    [macOf(pod.netns, pod.ifname), 'POD-MAC'],
    [macOf(host, veth), 'VETH-MAC'],
    [veth, 'VETH'],
    [bridge === undefined ? '' : macOf(host, bridge), 'BRIDGE-MAC'],
  ])
  look.putAll('result', result)
  look.link(pod.netns, pod.ifname, 'pod.link')
  look.routes(pod.netns, 'pod')
  look.link(host, veth, 'host.veth')
  if (bridge !== undefined) look.link(host, bridge, 'host.bridge')
  look.routes(host, 'host')
  return look.seen
}

export type Difference = Readonly<{ path: string; reference: string; ours: string }>

export function compare(reference: Seen, ours: Seen): readonly Difference[] {
  const paths = [...new Set([...reference.keys(), ...ours.keys()])].sort()
  return paths
    .map((path) => ({
      path,
      reference: reference.get(path) ?? 'absent',
      ours: ours.get(path) ?? 'absent',
    }))
    .filter((one) => one.reference !== one.ours)
}
