import { closeSync, openSync } from 'node:fs'
import { loadNative, type Native } from '../../src/kernel/native.ts'
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '../../src/kernel/netlink-socket.ts'
import { KernelRefusal } from '../../src/kernel/refusal.ts'
import { RouteSocket } from '../../src/kernel/route-socket.ts'
import type { Query } from '../../src/wire/netlink/message.ts'
import { nftBatch } from '../../src/wire/nft/message.ts'
import { makeNetns, type Netns } from '../support/netns.ts'

export const native: Native = loadNative()

/** A throw-away namespace, a descriptor of it, and sockets in it. */
export type Room = {
  readonly netns: Netns
  readonly fd: number
  readonly route: RouteSocket
  /** rtnetlink and nf_tables, one level lower. */
  readonly rtnl: NetlinkSocket
  readonly nft: NetlinkSocket
  /** One batch of nf_tables; what it is refused for. */
  readonly commit: (...changes: readonly Query[]) => readonly string[]
}

/** A socket that were not in its room would change the machine that runs the tests. */
function stayInside(sockets: readonly { netnsCookie(): bigint | undefined }[]): void {
  const own = new NetlinkSocket(native, -1, NETLINK_ROUTE)
  const home = own.netnsCookie()
  own.close()
  const cookies = sockets.map((socket) => socket.netnsCookie())
  if (home === undefined || cookies.some((cookie) => cookie === undefined || cookie === home))
    throw new Error('Cannot use the room: a socket is in the namespace of this process')
}

/** Lends a room to the test and removes it, whatever happens. */
export async function withRoom(use: (room: Room) => void | Promise<void>): Promise<void> {
  const netns = makeNetns('kernel')
  const fd = openSync(netns.path, 'r')
  const rtnl = new NetlinkSocket(native, fd, NETLINK_ROUTE)
  const nft = new NetlinkSocket(native, fd, NETLINK_NETFILTER)
  const route = new RouteSocket(native, fd, 'the room')
  const sockets = [rtnl, nft, route]
  const commit = (...changes: readonly Query[]) =>
    nft.commitBatch(nftBatch(changes)).map(({ at, errno }) => `message ${at}: errno ${errno}`)
  try {
    stayInside(sockets)
    await use({ netns, fd, route, rtnl, nft, commit })
  } finally {
    for (const socket of sockets) socket.close()
    closeSync(fd)
    netns.close()
  }
}

/** What `ip -d -j link` says of one link: the keys that tests look at. */
export type IpLink = Readonly<{
  ifindex: number
  ifname: string
  flags: readonly string[]
  mtu: number
  master?: string
  address: string
  ifalias?: string
  promiscuity: number
  operstate: string
  inet6_addr_gen_mode: string
  linkinfo?: Readonly<{
    info_kind?: string
    info_slave_kind?: string
    info_slave_data?: Readonly<{ hairpin: boolean; isolated: boolean; state: string }>
  }>
}>

export function ipLink(netns: Netns, name: string): IpLink {
  const [found] = netns.ipJson('link', 'show', 'dev', name)
  return found as unknown as IpLink
}

/** `nft` in the room; a refusal throws with nft's own text. */
export function runNft(netns: Netns, ...words: readonly string[]): string {
  const done = netns.exec(['nft', ...words])
  if (done.code !== 0) throw new Error(`Cannot nft ${words.join(' ')}: ${done.stderr.trim()}`)
  return done.stdout
}

/** What the kernel refused, if it did; anything else that is thrown is a fault of the test. */
export function refusalOf(act: () => unknown): KernelRefusal | undefined {
  try {
    act()
    return undefined
  } catch (refusal) {
    if (refusal instanceof KernelRefusal) return refusal
    throw refusal
  }
}
