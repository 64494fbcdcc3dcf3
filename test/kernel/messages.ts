import { NETLINK_NETFILTER, NETLINK_ROUTE } from '../../src/kernel/netlink-socket.ts'

// Which of the messages in a datagram change something. Numbers of linux/rtnetlink.h and
// linux/netfilter/nf_tables.h.

export type Place = Readonly<{
  /** Where the message begins. */
  at: number
  length: number
  type: number
}>

/** RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH: what a step sends. */
const stepTypes = [16, 20, 24, 28]
const names: Readonly<Record<number, string>> = {
  16: 'link',
  20: 'address',
  24: 'route',
  28: 'neighbour',
  2560: 'table',
  2563: 'chain',
  2566: 'rule',
  2569: 'set',
  2572: 'element',
}
/** NFNL_SUBSYS_NFTABLES << 8, then NEWTABLE, NEWCHAIN, NEWRULE, NEWSET, NEWSETELEM. */
const nftTypes = [0, 3, 6, 9, 12].map((number) => (10 << 8) | number)

export const nameOf = ({ type }: Place): string => names[type] ?? `message ${type}`

export function placesIn(bytes: Buffer): readonly Place[] {
  const places: Place[] = []
  for (let at = 0; at + 16 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at)
    places.push({ at, length, type: bytes.readUInt16LE(at + 4) })
    at += (length + 3) & ~3
  }
  return places
}

/** The messages that make something, in a datagram for a socket of this protocol. */
export function makingIn(bytes: Buffer, protocol: number): readonly Place[] {
  const types = { [NETLINK_ROUTE]: stepTypes, [NETLINK_NETFILTER]: nftTypes }[protocol] ?? []
  return placesIn(bytes).filter(({ type }) => types.includes(type))
}

/** The same datagram with one message that no kernel knows: it is refused, the others are not. */
export function withImpossible(bytes: Buffer, { at }: Place): Buffer {
  const changed = Buffer.from(bytes)
  changed.writeUInt16LE((changed.readUInt16LE(at + 4) & 0xff00) | 0xff, at + 4)
  return changed
}
