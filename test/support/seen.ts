import type { Result } from './attachment.ts'
import type { Pod } from './host.ts'
import type { Netns } from './netns.ts'

/** Facts about an attachment, each under a path such as `pod.routes[default].gateway`. */
export type Seen = ReadonlyMap<string, string>

type Row = Readonly<Record<string, unknown>>

/** Keys of `ip -j` that say what one link, address or route is; times and counters are not among them. */
const told = {
  link: ['mtu', 'operstate', 'link_type', 'promiscuity', 'qdisc', 'flags', 'ifalias'],
  address: ['prefixlen', 'scope', 'nodad', 'noprefixroute', 'broadcast'],
  route: ['gateway', 'dev', 'scope', 'protocol', 'metric', 'prefsrc', 'flags', 'type'],
  neighbour: ['lladdr', 'state'],
} as const

/** Names, MACs and paths that differ from run to run, by what they stand for. */
type Names = readonly (readonly [text: string, name: string])[]

const renamed = (text: string, names: Names): string =>
  names.reduce((all, [from, to]) => (from === '' ? all : all.replaceAll(from, to)), text)

function put(seen: Map<string, string>, path: string, value: unknown, names: Names): void {
  if (value !== undefined) seen.set(renamed(path, names), renamed(JSON.stringify(value), names))
}

function flatten(seen: Map<string, string>, path: string, value: unknown, names: Names): void {
  if (typeof value !== 'object' || value === null) return put(seen, path, value, names)
  if (Object.keys(value).length === 0) return put(seen, path, value, names)
  for (const [key, child] of Object.entries(value)) {
    flatten(seen, Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`, child, names)
  }
}

/** Link-local addresses and what the kernel derives from them come late, and by the MAC. */
const isLate = (text: string): boolean => /^(fe80|ff00|multicast|anycast)/.test(text)

function lookAtLink(
  seen: Map<string, string>,
  netns: Netns,
  name: string,
  at: string,
  names: Names,
): void {
  const [link] = netns.ipJson('link', 'show', 'dev', name)
  for (const key of told.link) put(seen, `${at}.${key}`, link?.[key], names)
  const info = link?.linkinfo as Row | undefined
  put(seen, `${at}.kind`, info?.info_kind, names)
  const port = info?.info_slave_data as Row | undefined
  for (const key of ['hairpin', 'isolated', 'learning', 'flood']) {
    put(seen, `${at}.port.${key}`, port?.[key], names)
  }
  const [shown] = netns.ipJson('addr', 'show', 'dev', name)
  for (const one of (shown?.addr_info ?? []) as Row[]) {
    if (isLate(String(one.local))) continue
    const where = `${at}.addresses[${one.local}]`
    for (const key of told.address) put(seen, `${where}.${key}`, one[key], names)
  }
  for (const one of netns.ipJson('neigh', 'show', 'dev', name, 'nud', 'permanent')) {
    const where = `${at}.neighbours[${one.dst}]`
    for (const key of told.neighbour) put(seen, `${where}.${key}`, one[key], names)
  }
}

function lookAtRoutes(seen: Map<string, string>, netns: Netns, at: string, names: Names): void {
  for (const family of ['-4', '-6']) {
    for (const one of netns.ipJson(family, 'route', 'show', 'table', 'main')) {
      if (isLate(String(one.dst)) || one.dev === 'up0' || one.dev === 'lo') continue
      const where = `${at}.routes[${family} ${one.dst}]`
      for (const key of told.route) put(seen, `${where}.${key}`, one[key], names)
    }
  }
}

const macOf = (netns: Netns, name: string): string =>
  String(netns.ipJson('link', 'show', 'dev', name)[0]?.address ?? '')

/** Everything that one attachment shows: its result, and both sides as `ip` sees them. */
export function lookAt(pod: Pod, result: Result): Seen {
  const { netns: host } = pod.host
  const links = host.ipJson('link', 'show').map(({ ifname }) => String(ifname))
  const veth = links.find((name) => /^(veth|tul)/.test(name)) ?? ''
  const bridge = links.find((name) => name === 'cni0')
  const names: Names = [
    [pod.netns.path, 'NETNS'],
    [pod.container, 'CONTAINER'],
    [macOf(pod.netns, pod.ifname), 'POD-MAC'],
    [macOf(host, veth), 'VETH-MAC'],
    [veth, 'VETH'],
    [bridge === undefined ? '' : macOf(host, bridge), 'BRIDGE-MAC'],
  ]
  const seen = new Map<string, string>()
  flatten(seen, 'result', result, names)
  lookAtLink(seen, pod.netns, pod.ifname, 'pod.link', names)
  lookAtRoutes(seen, pod.netns, 'pod', names)
  lookAtLink(seen, host, veth, 'host.veth', names)
  if (bridge !== undefined) lookAtLink(seen, host, bridge, 'host.bridge', names)
  lookAtRoutes(seen, host, 'host', names)
  return seen
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
