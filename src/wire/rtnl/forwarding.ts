import { type Address, addressBytes, addressFromBytes } from '../../base/address.ts'
import { concat, Reader } from '../../base/bytes.ts'
import { type Mac, macFromBytes } from '../../base/mac.ts'
import { attribute, readAttributes } from '../netlink/attribute.ts'
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  type Query,
} from '../netlink/message.ts'
import type { IfIndex } from './link.ts'
import {
  head,
  NDA_DST,
  NDA_LLADDR,
  NUD_PERMANENT,
  RTM_DELNEIGH,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from './neighbour.ts'

// Forwarding entries of a VXLAN device, "frames to this MAC go to that address": AF_BRIDGE
// neighbours of the device itself (NTF_SELF), linux/neighbour.h.
const AF_BRIDGE = 7
const NUD_NOARP = 0x40
const NTF_SELF = 0x02

export type Forwarding = {
  readonly link: IfIndex
  readonly mac: Mac
  /** The other end of the tunnel. */
  readonly destination: Address
}

/** The MAC's destination, whatever it was before. The kernel keeps one entry a MAC. */
export const replaceForwarding = (one: Forwarding): Query =>
  forwarding(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, one)

/** Only the entry with this destination; ENOENT if there is none. */
export const deleteForwarding = (one: Forwarding): Query => forwarding(RTM_DELNEIGH, 0, one)

const forwarding = (type: number, flags: number, one: Forwarding): Query => ({
  type,
  flags: NLM_F_REQUEST | NLM_F_ACK | flags,
  body: concat([
    head(AF_BRIDGE, one.link, NUD_PERMANENT | NUD_NOARP, NTF_SELF),
    attribute(NDA_LLADDR, one.mac),
    attribute(NDA_DST, addressBytes(one.destination)),
  ]),
})

/** Of one device; the kernel filters by the index in the header. */
export const dumpForwarding = (link: IfIndex): Query => ({
  type: RTM_GETNEIGH,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  body: head(AF_BRIDGE, link, 0),
})

export type ObservedForwarding = Forwarding & { readonly permanent: boolean }

/** Body of RTM_NEWNEIGH; undefined for a bridge's own entries, which lead to a port. */
export function decodeForwarding(bytes: Uint8Array): ObservedForwarding | undefined {
  const reader = new Reader(bytes)
  const family = reader.u8()
  reader.bytes(3)
  const link = reader.u32() as IfIndex
  const state = reader.u16()
  reader.u16()
  if (family !== AF_BRIDGE) return undefined
  const found = readAttributes(reader.rest())
  const [lladdr, dst] = [found.get(NDA_LLADDR), found.get(NDA_DST)]
  const mac = lladdr && macFromBytes(lladdr)
  const destination = dst && addressFromBytes(dst)
  if (!mac || !destination) return undefined
  return { link, mac, destination, permanent: (state & NUD_PERMANENT) !== 0 }
}
