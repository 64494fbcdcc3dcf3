import { type Address, addressBytes, addressFromBytes } from '../../base/address.ts'
import { Reader, Writer } from '../../base/bytes.ts'
import type { Mac } from '../../base/mac.ts'
import {
  type Attribute,
  type Attributes,
  attribute,
  nested,
  readU8,
  readU32,
  text,
  u8,
  u32,
} from '../netlink/attribute.ts'
import type { Query } from '../netlink/message.ts'
import {
  changeLink,
  createLink,
  IFLA_ADDRESS,
  IFLA_IFNAME,
  IFLA_INFO_DATA,
  IFLA_INFO_KIND,
  IFLA_LINKINFO,
  IFLA_MTU,
  type IfIndex,
} from './link.ts'

// VXLAN devices without a parent link: linux/if_link.h, RFC 7348.
const IFLA_VXLAN_ID = 1
const IFLA_VXLAN_LINK = 3
const IFLA_VXLAN_LOCAL = 4
const IFLA_VXLAN_LEARNING = 7
const IFLA_VXLAN_PORT = 15
const IFLA_VXLAN_LOCAL6 = 17
const IFLA_VXLAN_UDP_CSUM = 18
const IFLA_VXLAN_UDP_ZERO_CSUM6_TX = 19
const IFLA_VXLAN_UDP_ZERO_CSUM6_RX = 20

export type NewVxlan = {
  readonly name: string
  readonly mac: Mac
  readonly mtuBytes: number
  readonly vni: number
  /** UDP destination port. */
  readonly port: number
  /** Source of the tunnel's packets; its family is the underlay's. */
  readonly local: Address
}

/**
 * Address and MTU are in the message that makes the link: a link whose address was given when it
 * was made (NET_ADDR_SET) is left alone by udev's MACAddressPolicy, and nobody ever sees it with
 * another.
 *
 * The outer UDP checksum is always there (UDP_CSUM 1, ZERO_CSUM6_TX 0). A tunnel that sends none,
 * as Flannel's over IPv4 does, meets a bug of kernels before 5.7: a NAT rule that catches the outer
 * packet "updates" the absent checksum (0) to a wrong one, and the receiver drops the packet. A
 * checksum that is there is updated rightly, and local checksum offload makes it out of the inner
 * one for the price of the headers. So tx-checksum-ip-generic may stay on, and TSO with it.
 * Packets without one are taken over IPv6 too, as RFC 7348 section 5 wants (ZERO_CSUM6_RX 1).
 */
export const newVxlan = ({ name, mac, mtuBytes, ...tunnel }: NewVxlan): Query =>
  createLink([
    text(IFLA_IFNAME, name),
    u32(IFLA_MTU, mtuBytes),
    attribute(IFLA_ADDRESS, mac),
    vxlanInfo([
      u32(IFLA_VXLAN_ID, tunnel.vni),
      localOf(tunnel.local),
      u8(IFLA_VXLAN_LEARNING, 0),
      attribute(IFLA_VXLAN_PORT, new Writer().u16be(tunnel.port).done()),
      u8(IFLA_VXLAN_UDP_CSUM, 1),
      u8(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, 0),
      u8(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, 1),
    ]),
  ])

/** A device without a VNI, which no kernel makes: its refusal tells whether VXLAN is known. */
export const probeVxlan = (): Query =>
  createLink([
    text(IFLA_IFNAME, 'tulle-probe'),
    nested(IFLA_LINKINFO, [text(IFLA_INFO_KIND, 'vxlan')]),
  ])

/**
 * What the kernel changes on a device that stands: its local address (within the family) and
 * learning. VNI, port and checksums it refuses. It wants the VNI with every change.
 */
export const setVxlan = (
  index: IfIndex,
  { vni, local }: { readonly vni: number; readonly local: Address },
): Query =>
  changeLink(index, [
    vxlanInfo([u32(IFLA_VXLAN_ID, vni), localOf(local), u8(IFLA_VXLAN_LEARNING, 0)]),
  ])

const vxlanInfo = (data: readonly Attribute[]): Attribute =>
  nested(IFLA_LINKINFO, [text(IFLA_INFO_KIND, 'vxlan'), nested(IFLA_INFO_DATA, data)])

const localOf = (local: Address): Attribute =>
  attribute(local.family === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, addressBytes(local))

export type ObservedVxlan = {
  readonly vni: number
  readonly port: number
  readonly local: Address | undefined
  readonly learning: boolean
  /** The outer UDP checksum is always sent, over IPv4 and over IPv6. */
  readonly checksums: boolean
  /** A device without a parent link outlives the uplink. */
  readonly parent: IfIndex | undefined
}

/** IFLA_INFO_DATA of a link of kind "vxlan". */
export function decodeVxlan(data: Attributes): ObservedVxlan {
  const byteOf = (type: number): number => readU8(data.get(type) ?? Uint8Array.of(0))
  const numberOf = (type: number): number => readU32(data.get(type) ?? new Uint8Array(4))
  const port = data.get(IFLA_VXLAN_PORT)
  const local = data.get(IFLA_VXLAN_LOCAL) ?? data.get(IFLA_VXLAN_LOCAL6)
  const parent = numberOf(IFLA_VXLAN_LINK)
  return {
    vni: numberOf(IFLA_VXLAN_ID),
    port: port ? portOf(port) : 0,
    local: local && addressFromBytes(local),
    learning: byteOf(IFLA_VXLAN_LEARNING) !== 0,
    checksums: byteOf(IFLA_VXLAN_UDP_CSUM) === 1 && byteOf(IFLA_VXLAN_UDP_ZERO_CSUM6_TX) === 0,
    parent: parent === 0 ? undefined : (parent as IfIndex),
  }
}

function portOf(payload: Uint8Array): number {
  const reader = new Reader(payload)
  return reader.u8() * 256 + reader.u8()
}
