import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs'
import { type Address, parseAddress } from '../../base/address.ts'
import { formatPrefix } from '../../base/prefix.ts'
import { acceptRules } from '../../datapath/acceptance.ts'
import { digestOf } from '../../datapath/identity.ts'
import { ForeignChains } from '../../kernel/foreign-chains.ts'
import { listenersOf } from '../../kernel/listeners.ts'
import { NETLINK_ROUTE, NetlinkSocket } from '../../kernel/netlink-socket.ts'
import { RouteSocket } from '../../kernel/route-socket.ts'
import { Sysctls } from '../../kernel/sysctl.ts'
import { lifeOf, lifeStamp } from '../../store/boot.ts'
import { standingOf } from '../../store/executable.ts'
import type { LeaseStore } from '../../store/lease-store.ts'
import { readNetworkLists } from '../../store/network-lists.ts'
import { decodeAddress, dumpAddresses } from '../../wire/rtnl/address.ts'
import type { IfIndex } from '../../wire/rtnl/link.ts'
import type { Link } from '../../wire/rtnl/observed-link.ts'
import { askAgent } from '../agent-client.ts'
import { type Desk, requiredText } from '../command.ts'
import { viewFabric } from '../kernel-view.ts'
import { withStore } from '../leases.ts'
import { lookForRemains } from '../remains.ts'
import type { Facts, Seen, StoreFacts } from './facts.ts'
import { featuresOf } from './features.ts'
import { lookAtPolicy } from './policy-facts.ts'

/** Looks at everything, each by itself: what is refused is told of, and the rest is seen. */
export async function gatherFacts(desk: Desk): Promise<Facts> {
  const native = desk.loadNative()
  const host = new RouteSocket(native, -1, 'the host')
  const confDir = requiredText(desk, 'conf-dir', 'DIR')
  const binDir = requiredText(desk, 'bin-dir', 'DIR')
  const links = host.links()
  const learned = host.neighbours().filter(({ permanent }) => !permanent)
  const learnedOf = (family: 4 | 6): number =>
    learned.filter(({ address }) => address.family === family).length
  const capabilities = capabilitiesOf(readFileSync('/proc/self/status', 'utf8'))
  const sysctls = new Sysctls(native, -1)
  const agent = await seen(() => askAgent(desk))
  try {
    return {
      capabilities,
      features: featuresOf(native, host, capabilities.has('net_admin')),
      links,
      addresses: addressesOf(desk, links),
      learnedNeighbours: { 4: learnedOf(4), 6: learnedOf(6) },
      sysctl: (path) => quietly(() => sysctls.read(path)),
      udpListeners: listenersOf('udp'),
      confDir,
      lists: readNetworkLists(confDir),
      binDir,
      binary: (name) => binaryAt(`${binDir}/${name}`),
      ownNames: desk.pluginNames,
      store: await seen(() => lookAtStore(desk)),
      droppingChains: await seen(() => droppingChains(desk)),
      legacyTables: legacyTables(),
      policy: await seen(() => lookAtPolicy(desk)),
      fabric: await seen(() => viewFabric(native)),
      agent,
    }
  } finally {
    host.close()
  }
}

async function seen<T>(look: () => T | Promise<T>): Promise<Seen<T>> {
  try {
    return await look()
  } catch (refusal) {
    return { unseen: refusal instanceof Error ? refusal.message : String(refusal) }
  }
}

function quietly<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}

/** Bits of linux/capability.h. */
const bits = { net_admin: 12n, net_raw: 13n, sys_admin: 21n } as const

/** The line CapEff of proc(5): a mask in hex. */
function capabilitiesOf(status: string): ReadonlySet<string> {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  return new Set(Object.entries(bits).flatMap(([name, bit]) => ((mask >> bit) & 1n ? [name] : [])))
}

/** Of all links in one dump: a node has a link for each pod. */
function addressesOf(desk: Desk, links: readonly Link[]): ReadonlyMap<string, readonly string[]> {
  const socket = new NetlinkSocket(desk.loadNative(), -1, NETLINK_ROUTE)
  try {
    const all = socket
      .ask('list addresses', dumpAddresses(0 as IfIndex))
      .flatMap(({ body }) => decodeAddress(body) ?? [])
    const byLink = Map.groupBy(all, ({ link }) => link)
    return new Map(
      links.map(({ index, name }) => [
        name,
        (byLink.get(index) ?? []).map(({ prefix }) => formatPrefix(prefix)),
      ]),
    )
  } finally {
    socket.close()
  }
}

function binaryAt(path: string): ReturnType<Facts['binary']> {
  if (!existsSync(path)) return 'absent'
  try {
    accessSync(path, constants.X_OK)
  } catch {
    return 'not-executable'
  }
  if (!statSync(path).isFile()) return 'not-executable'
  return standingOf(path)
}

function lookAtStore(desk: Desk): StoreFacts {
  const dataDir = requiredText(desk, 'data-dir', 'DIR')
  if (!existsSync(`${dataDir}/tulle.db`)) return null
  const facts = withStore(desk, (store) => ({
    dataDir,
    life: lifeOf(store.meta('life'), stampOf(desk)),
    leases: store.leases(),
    podLinks: store.attachments().map(({ link }) => link),
    gateways: gatewaysOf(store),
  }))
  return { ...facts, remains: facts.life === 'this' ? lookForRemains(desk).remains : [] }
}

function gatewaysOf(store: LeaseStore): readonly Address[] {
  const texts = store
    .attachments()
    .flatMap(({ ips }) => ips.flatMap(({ gateway }) => gateway ?? []))
  return [...new Set(texts)].flatMap((text) => parseAddress(text) ?? [])
}

function stampOf(desk: Desk): string {
  const host = new RouteSocket(desk.loadNative(), -1, 'the host')
  try {
    return lifeStamp(host.netnsCookie())
  } finally {
    host.close()
  }
}

/** Chains that would drop packets of pods which are to be accepted. */
function droppingChains(desk: Desk): readonly string[] {
  const dataDir = requiredText(desk, 'data-dir', 'DIR')
  if (!existsSync(`${dataDir}/tulle.db`)) return []
  const accepted = withStore(desk, (store: LeaseStore) =>
    store.extras.all().filter(({ isAccepted }) => isAccepted),
  )
  const missing = new ForeignChains(desk.loadNative()).missing((chain) =>
    accepted.flatMap((extras) => acceptRules(extras, digestOf(dataDir), chain)),
  )
  return [...new Set(missing.map(({ chain }) => chain))]
}

/** Of iptables-legacy in this network namespace; readable for root alone. */
function legacyTables(): readonly string[] {
  const files = ['/proc/net/ip_tables_names', '/proc/net/ip6_tables_names']
  const names = files.flatMap((file) =>
    (quietly(() => readFileSync(file, 'utf8')) ?? '').split('\n'),
  )
  return [...new Set(names.filter((name) => name !== ''))]
}
