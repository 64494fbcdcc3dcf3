import { type Address, addressBytes, addressFromBytes } from '../../base/address.ts'
import { concat, Reader, Writer } from '../../base/bytes.ts'
import type { Prefix } from '../../base/prefix.ts'
import { attribute, readAttributes, u32 } from '../netlink/attribute.ts'
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  type Query,
} from '../netlink/message.ts'
import type { IfIndex } from './link.ts'

const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_GETADDR = 22

// include/uapi/linux/if_addr.h
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_FLAGS = 8
const IFA_F_NODAD = 0x02
const IFA_F_NOPREFIXROUTE = 0x200
const AF_INET = 2
const AF_INET6 = 10

export const addressFamily = (address: Address): number =>
  address.family === 4 ? AF_INET : AF_INET6

export type LinkAddress = {
  readonly link: IfIndex
  readonly prefix: Prefix
  /**
   * The kernel adds no route for the prefix; the caller adds what it wants (IFA_F_NOPREFIXROUTE).
   */
  readonly noPrefixRoute: boolean
}

/**
 * Body of RTM_NEWADDR: struct ifaddrmsg (8 bytes: family, prefix length, flags, scope, index;
 * linux/if_addr.h), then attributes. IPv6 addresses skip duplicate address detection (IFA_F_NODAD):
 * IPAM has seen to it, and DAD takes a second.
 */
export const newAddress = (address: LinkAddress): Query => ({
  type: RTM_NEWADDR,
  flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
  body: body(address),
})

export const deleteAddress = (address: LinkAddress): Query => ({
  type: RTM_DELADDR,
  flags: NLM_F_REQUEST | NLM_F_ACK,
  body: body(address),
})

function body({ link, prefix, noPrefixRoute }: LinkAddress): Uint8Array {
  const { address, bits } = prefix
  const flags = (noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0) | (address.family === 6 ? IFA_F_NODAD : 0)
  const head = new Writer().u8(addressFamily(address)).u8(bits).u8(0).u8(0).u32(link).done()
  const bytes = addressBytes(address)
  return concat([
    head,
    attribute(IFA_LOCAL, bytes),
    attribute(IFA_ADDRESS, bytes),
    u32(IFA_FLAGS, flags),
  ])
}

/**
 * The kernel filters by link under strict checking; an older one answers every address of the
 * namespace.
 */
export const dumpAddresses = (link: IfIndex): Query => ({
  type: RTM_GETADDR,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  body: new Writer().u32(0).u32(link).done(),
})

/**
 * Body of RTM_NEWADDR as the kernel reports it; a family other than IPv4 and IPv6 is `undefined`.
 */
export function decodeAddress(bytes: Uint8Array): { link: IfIndex; prefix: Prefix } | undefined {
  const reader = new Reader(bytes)
  reader.u8()
  const bits = reader.u8()
  reader.u16()
  const link = reader.u32() as IfIndex
  const found = readAttributes(reader.rest())
  const payload = found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS)
  const address = payload && addressFromBytes(payload)
  return address && { link, prefix: { address, bits } }
}
