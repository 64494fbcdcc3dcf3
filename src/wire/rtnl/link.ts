import { concat, Writer } from '../../base/bytes.ts'
import type { Mac } from '../../base/mac.ts'
import { type Attribute, attribute, nested, text, u8, u32 } from '../netlink/attribute.ts'
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  type Query,
} from '../netlink/message.ts'

declare const brand: unique symbol

/** `ifi_index` of linux/rtnetlink.h: ≥ 1, and valid only in the netns that it was read from. */
export type IfIndex = number & { readonly [brand]: 'IfIndex' }

export const RTM_NEWLINK = 16
const RTM_DELLINK = 17
const RTM_GETLINK = 18
const RTM_SETLINK = 19

// include/uapi/linux/if_link.h
export const IFLA_ADDRESS = 1
export const IFLA_IFNAME = 3
export const IFLA_MTU = 4
const IFLA_MASTER = 10
const IFLA_TXQLEN = 13
export const IFLA_LINKINFO = 18
const IFLA_IFALIAS = 20
const IFLA_AF_SPEC = 26
const IFLA_GROUP = 27
const IFLA_NET_NS_FD = 28
const IFLA_EXT_MASK = 29
/** Counters are half of an answer, and nobody here reads them. */
const RTEXT_FILTER_SKIP_STATS = 8
export const IFLA_INFO_KIND = 1
export const IFLA_INFO_DATA = 2
const IFLA_INFO_SLAVE_KIND = 4
const IFLA_INFO_SLAVE_DATA = 5
const VETH_INFO_PEER = 1
const IFLA_BRPORT_MODE = 4
const IFLA_BRPORT_ISOLATED = 33
const IFLA_INET6_ADDR_GEN_MODE = 8
const IN6_ADDR_GEN_MODE_NONE = 1
const AF_UNSPEC = 0
const AF_INET6 = 10

// include/uapi/linux/if.h
export const IFF_UP = 0x1
export const IFF_PROMISC = 0x100
export const IFF_ALLMULTI = 0x200

/** What Tulle reads of a link. */
export type BridgePort = { readonly hairpin: boolean; readonly isolated: boolean }

export type NewVeth = {
  readonly host: { readonly name: string; readonly mac: Mac }
  readonly pod: { readonly name: string; readonly mac: Mac; readonly netnsFd: number }
  readonly mtuBytes: number
}

/**
 * struct ifinfomsg (16 bytes: family, pad, type, index, flags, change; linux/rtnetlink.h), then
 * attributes.
 */
function body(head: Head, attributes: readonly Attribute[]): Uint8Array {
  const { family = AF_UNSPEC, index = 0, flags = 0, change = 0 } = head
  const fixed = new Writer().u8(family).u8(0).u16(0).u32(index).u32(flags).u32(change)
  return concat([fixed.done(), ...attributes])
}
type Head = { family?: number; index?: number; flags?: number; change?: number }

/**
 * Both ends of a veth pair in one message, the far end born in the pod's netns under its final
 * name: nothing ever has to be moved or renamed. The far end can't be born up (veth_open answers
 * ENOTCONN).
 */
export function newVeth({ host, pod, mtuBytes }: NewVeth): Query {
  const peer = body({}, [
    text(IFLA_IFNAME, pod.name),
    u32(IFLA_MTU, mtuBytes),
    attribute(IFLA_ADDRESS, pod.mac),
    u32(IFLA_NET_NS_FD, pod.netnsFd),
  ])
  return createLink([
    text(IFLA_IFNAME, host.name),
    u32(IFLA_MTU, mtuBytes),
    attribute(IFLA_ADDRESS, host.mac),
    nested(IFLA_LINKINFO, [
      text(IFLA_INFO_KIND, 'veth'),
      nested(IFLA_INFO_DATA, [nested(VETH_INFO_PEER, [peer])]),
    ]),
  ])
}

export type NewBridge = {
  readonly name: string
  readonly mac: Mac
  readonly mtuBytes: number
}

/**
 * The address is given, not left to the kernel: an unpinned bridge takes its lowest port's and
 * changes with its ports.
 */
export function newBridge({ name, mac, mtuBytes }: NewBridge): Query {
  return createLink([
    text(IFLA_IFNAME, name),
    u32(IFLA_MTU, mtuBytes),
    attribute(IFLA_ADDRESS, mac),
    nested(IFLA_LINKINFO, [text(IFLA_INFO_KIND, 'bridge')]),
  ])
}

export type NewIfb = { readonly name: string; readonly mac: Mac; readonly mtuBytes: number }

/** A link without a wire: what is redirected to it waits in its queue, then goes on as it was. */
export const newIfb = ({ name, mac, mtuBytes }: NewIfb): Query =>
  createLink([
    text(IFLA_IFNAME, name),
    u32(IFLA_MTU, mtuBytes),
    attribute(IFLA_ADDRESS, mac),
    nested(IFLA_LINKINFO, [text(IFLA_INFO_KIND, 'ifb')]),
  ])

/** EEXIST if there is a link of that name. */
export const createLink = (attributes: readonly Attribute[]): Query => ({
  type: RTM_NEWLINK,
  flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
  body: body({}, attributes),
})

/**
 * A veth that lacks its peer's header: refused as malformed where veth is known, as unknown where
 * it is not.
 */
export const probeVeth = (): Query =>
  createLink([
    text(IFLA_IFNAME, 'tul-probe'),
    nested(IFLA_LINKINFO, [
      text(IFLA_INFO_KIND, 'veth'),
      nested(IFLA_INFO_DATA, [u8(VETH_INFO_PEER, 0)]),
    ]),
  ])

/**
 * A link of this kind with an address of five bytes: refused as malformed where the kind is known,
 * as unknown where it is not.
 */
export const probeLink = (kind: string): Query =>
  createLink([
    text(IFLA_IFNAME, 'tul-probe'),
    attribute(IFLA_ADDRESS, new Uint8Array(5)),
    nested(IFLA_LINKINFO, [text(IFLA_INFO_KIND, kind)]),
  ])

/**
 * The kernel takes no alias when it makes a link (rtnl_create_link passes it over), so this goes
 * right behind.
 */
export const setAlias = (name: string, alias: string): Query =>
  acked(body({}, [text(IFLA_IFNAME, name), text(IFLA_IFALIAS, alias)]))

/** Takes a link down by its name. */
export const setDown = (name: string): Query =>
  acked(body({ change: IFF_UP }, [text(IFLA_IFNAME, name)]))

export type LinkChange = {
  readonly index: IfIndex
  readonly up?: true
  readonly promisc?: boolean
  readonly allmulti?: boolean
  readonly master?: IfIndex
  readonly mtuBytes?: number
  /** Set anew, to the same too: a link with arp_notify or ndisc_notify announces its addresses. */
  readonly mac?: Mac
  /** Packets that may wait in the link's queue, if it has one. */
  readonly txQueueLength?: number
  /** No link-local IPv6 address is made when the link comes up. */
  readonly noLinkLocal?: true
}

export function setLink(change: LinkChange): Query {
  const { flags, mask } = flagsOf(change)
  const attributes: Attribute[] = []
  if (change.master !== undefined) attributes.push(u32(IFLA_MASTER, change.master))
  if (change.mtuBytes !== undefined) attributes.push(u32(IFLA_MTU, change.mtuBytes))
  if (change.mac !== undefined) attributes.push(attribute(IFLA_ADDRESS, change.mac))
  if (change.txQueueLength !== undefined) attributes.push(u32(IFLA_TXQLEN, change.txQueueLength))
  if (change.noLinkLocal)
    attributes.push(
      nested(IFLA_AF_SPEC, [
        nested(AF_INET6, [u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)]),
      ]),
    )
  return acked(body({ index: change.index, flags, change: mask }, attributes))
}

/** `flags` and `change` of struct ifinfomsg: what is not named stays as it is. */
function flagsOf({ up, promisc, allmulti }: LinkChange): { flags: number; mask: number } {
  let [flags, mask] = [0, 0]
  const wanted = [
    [IFF_UP, up],
    [IFF_PROMISC, promisc],
    [IFF_ALLMULTI, allmulti],
  ] as const
  for (const [bit, on] of wanted) {
    if (on !== undefined) mask |= bit
    if (on) flags |= bit
  }
  return { flags, mask }
}

/**
 * Flags of a bridge's port; the link must have its master already (rtnl_changelink looks the master
 * up first).
 */
export function setBridgePort(index: IfIndex, { hairpin, isolated }: BridgePort): Query {
  const flags = [u8(IFLA_BRPORT_MODE, Number(hairpin)), u8(IFLA_BRPORT_ISOLATED, Number(isolated))]
  const info = nested(IFLA_LINKINFO, [
    text(IFLA_INFO_SLAVE_KIND, 'bridge'),
    nested(IFLA_INFO_SLAVE_DATA, flags),
  ])
  return acked(body({ index }, [info]))
}

const acked = (bytes: Uint8Array): Query => ({
  type: RTM_NEWLINK,
  flags: NLM_F_REQUEST | NLM_F_ACK,
  body: bytes,
})

export const changeLink = (index: IfIndex, attributes: readonly Attribute[]): Query =>
  acked(body({ index }, attributes))

const withoutCounters = u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)

/** A name may be another link's by the time that a request arrives, an index never. */
export type LinkBy = { readonly name: string } | { readonly index: IfIndex }

const bodyBy = (by: LinkBy, attributes: readonly Attribute[]): Uint8Array =>
  'name' in by
    ? body({}, [text(IFLA_IFNAME, by.name), ...attributes])
    : body({ index: by.index }, attributes)

export const getLink = (by: LinkBy): Query => ({
  type: RTM_GETLINK,
  flags: NLM_F_REQUEST,
  body: bodyBy(by, [withoutCounters]),
})

export const dumpLinks = (): Query => ({
  type: RTM_GETLINK,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  body: body({}, [withoutCounters]),
})

export const deleteLink = (by: LinkBy): Query => ({
  type: RTM_DELLINK,
  flags: NLM_F_REQUEST | NLM_F_ACK,
  body: bodyBy(by, []),
})

/**
 * RTM_SETLINK, as RTM_NEWLINK with a group and a name that is not there changes all of that group
 * in kernels before 5.18.
 */
export const setGroup = (by: LinkBy, group: number): Query => ({
  type: RTM_SETLINK,
  flags: NLM_F_REQUEST | NLM_F_ACK,
  body: bodyBy(by, [u32(IFLA_GROUP, group)]),
})

/** Every link of a group at once; 0 is the group of all that were never given another. */
export const deleteGroup = (group: number): Query => ({
  type: RTM_DELLINK,
  flags: NLM_F_REQUEST | NLM_F_ACK,
  body: body({}, [u32(IFLA_GROUP, group)]),
})
