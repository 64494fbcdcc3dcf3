import { decodeText, Reader } from '../../base/bytes.ts'
import { type Mac, macFromBytes } from '../../base/mac.ts'
import { readAttributes, readU8, readU32 } from '../netlink/attribute.ts'
import type { BridgePort, IfIndex } from './link.ts'
import { decodeVxlan, type ObservedVxlan } from './vxlan.ts'

// Links as the kernel reports them: include/uapi/linux/if_link.h.
const IFLA_ADDRESS = 1
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_MASTER = 10
const IFLA_TXQLEN = 13
const IFLA_OPERSTATE = 16
const IF_OPER_UP = 6 // RFC 2863
const IFLA_LINKINFO = 18
const IFLA_IFALIAS = 20
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_INFO_SLAVE_KIND = 4
const IFLA_INFO_SLAVE_DATA = 5
const IFLA_BRPORT_STATE = 1
const BR_STATE_FORWARDING = 3
const IFLA_BRPORT_MODE = 4
const IFLA_BRPORT_ISOLATED = 33
const IFLA_LINK = 5

export type Link = {
  readonly index: IfIndex
  readonly name: string
  readonly flags: number
  /** The link passes packets: up, with a carrier, and its queue is running. */
  readonly isOperational: boolean
  readonly mtuBytes: number
  /** Packets; 0 for a link that queues none. */
  readonly txQueueLength: number
  readonly mac: Mac | undefined
  readonly kind: string | undefined
  readonly alias: string | undefined
  readonly master: IfIndex | undefined
  /** Index of a veth's other end, in the namespace where that is (IFLA_LINK). */
  readonly peer: IfIndex | undefined
  readonly port: ObservedPort | undefined
  readonly vxlan?: ObservedVxlan
}

export type ObservedPort = BridgePort & { readonly isForwarding: boolean }

/** Body of RTM_NEWLINK; attributes that Tulle has no use for are skipped. */
export function decodeLink(bytes: Uint8Array): Link {
  const reader = new Reader(bytes)
  reader.bytes(4)
  const index = reader.u32() as IfIndex
  const flags = reader.u32()
  reader.u32()
  const found = readAttributes(reader.rest())
  const name = found.get(IFLA_IFNAME)
  const mtu = found.get(IFLA_MTU)
  const txQueueLength = found.get(IFLA_TXQLEN)
  const mac = found.get(IFLA_ADDRESS)
  const alias = found.get(IFLA_IFALIAS)
  const master = found.get(IFLA_MASTER)
  const peer = found.get(IFLA_LINK)
  const linkInfo = found.get(IFLA_LINKINFO)
  const info = linkInfo && readAttributes(linkInfo)
  const kindText = info?.get(IFLA_INFO_KIND)
  const kind = kindText && decodeText(kindText)
  const data = kind === 'vxlan' ? info?.get(IFLA_INFO_DATA) : undefined
  return {
    index,
    name: name ? decodeText(name) : '',
    flags,
    isOperational: readU8(found.get(IFLA_OPERSTATE) ?? Uint8Array.of(0)) === IF_OPER_UP,
    mtuBytes: mtu ? readU32(mtu) : 0,
    txQueueLength: txQueueLength ? readU32(txQueueLength) : 0,
    mac: mac && macFromBytes(mac),
    kind,
    alias: alias && decodeText(alias),
    master: master && (readU32(master) as IfIndex),
    peer: peer && (readU32(peer) as IfIndex),
    port: info && portOf(info),
    ...(data ? { vxlan: decodeVxlan(readAttributes(data)) } : {}),
  }
}

function portOf(info: ReadonlyMap<number, Uint8Array>): ObservedPort | undefined {
  const kind = info.get(IFLA_INFO_SLAVE_KIND)
  const bytes = info.get(IFLA_INFO_SLAVE_DATA)
  if (!kind || !bytes || decodeText(kind) !== 'bridge') return undefined
  const flags = readAttributes(bytes)
  const flagOf = (type: number): number => readU8(flags.get(type) ?? Uint8Array.of(0))
  return {
    hairpin: flagOf(IFLA_BRPORT_MODE) !== 0,
    isolated: flagOf(IFLA_BRPORT_ISOLATED) !== 0,
    isForwarding: flagOf(IFLA_BRPORT_STATE) === BR_STATE_FORWARDING,
  }
}
