import { type Address, addressBytes, addressFromBytes } from '../../base/address.ts'
import { concat, Reader, Writer } from '../../base/bytes.ts'
import { type Mac, macFromBytes } from '../../base/mac.ts'
import { attribute, readAttributes, u32 } from '../netlink/attribute.ts'
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  type Query,
} from '../netlink/message.ts'
import { addressFamily } from './address.ts'
import type { IfIndex } from './link.ts'

// Neighbours of IP addresses; forwarding.ts has those of MACs, in the same messages.
export const RTM_NEWNEIGH = 28
export const RTM_DELNEIGH = 29
export const RTM_GETNEIGH = 30

// include/uapi/linux/neighbour.h
export const NDA_DST = 1
export const NDA_LLADDR = 2
const NDA_IFINDEX = 8
export const NUD_PERMANENT = 0x80

export type Neighbour = { readonly link: IfIndex; readonly address: Address; readonly mac: Mac }

/**
 * A neighbour that the kernel never asks for and never forgets: struct ndmsg (12 bytes), NDA_DST,
 * NDA_LLADDR.
 */
export const newNeighbour = ({ link, address, mac }: Neighbour): Query => ({
  type: RTM_NEWNEIGH,
  flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
  body: concat([
    head(addressFamily(address), link, NUD_PERMANENT),
    attribute(NDA_DST, addressBytes(address)),
    attribute(NDA_LLADDR, mac),
  ]),
})

/** ENOENT if there is none. */
export const deleteNeighbour = ({ link, address }: Omit<Neighbour, 'mac'>): Query => ({
  type: RTM_DELNEIGH,
  flags: NLM_F_REQUEST | NLM_F_ACK,
  body: concat([
    head(addressFamily(address), link, NUD_PERMANENT),
    attribute(NDA_DST, addressBytes(address)),
  ]),
})

/** Of every link, or of one: under strict checking the kernel filters by NDA_IFINDEX alone. */
export const dumpNeighbours = (of: { readonly link?: IfIndex } = {}): Query => ({
  type: RTM_GETNEIGH,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  body: concat([head(0, 0, 0), ...(of.link === undefined ? [] : [u32(NDA_IFINDEX, of.link)])]),
})

/** struct ndmsg (12 bytes): family, three bytes of padding, index, state (u16), flags, type. */
export const head = (family: number, link: number, state: number, flags = 0): Uint8Array =>
  new Writer().u32(family).u32(link).u16(state).u8(flags).u8(0).done()

export type ObservedNeighbour = {
  readonly link: IfIndex
  readonly address: Address
  readonly mac: Mac | undefined
  readonly permanent: boolean
}

export function decodeNeighbour(bytes: Uint8Array): ObservedNeighbour | undefined {
  const reader = new Reader(bytes)
  reader.u32()
  const link = reader.u32() as IfIndex
  const state = reader.u16()
  reader.u16()
  const found = readAttributes(reader.rest())
  const payload = found.get(NDA_DST)
  const address = payload && addressFromBytes(payload)
  const mac = found.get(NDA_LLADDR)
  return (
    address && {
      link,
      address,
      mac: mac && macFromBytes(mac),
      permanent: (state & NUD_PERMANENT) !== 0,
    }
  )
}
