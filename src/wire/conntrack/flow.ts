import { type Address, addressBytes, addressFromBytes, type Family } from '../../base/address.ts'
import { concat, Reader, Writer } from '../../base/bytes.ts'
import {
  type Attributes,
  attribute,
  nested,
  readAttributes,
  readU8,
  u8,
  u32,
} from '../netlink/attribute.ts'
import { NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, type Query } from '../netlink/message.ts'

// Entries of the connection table: include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const NFNL_SUBSYS_CTNETLINK = 1
const IPCTNL_MSG_CT_GET = 1
const IPCTNL_MSG_CT_DELETE = 2
const CTA_TUPLE_ORIG = 1
const CTA_TUPLE_REPLY = 2
const CTA_ID = 12
const CTA_ZONE = 18
const CTA_FILTER = 25
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
const CTA_IP_V4_SRC = 1
const CTA_IP_V4_DST = 2
const CTA_IP_V6_SRC = 3
const CTA_IP_V6_DST = 4
const CTA_PROTO_NUM = 1
const CTA_PROTO_SRC_PORT = 2
const CTA_PROTO_DST_PORT = 3
const CTA_FILTER_ORIG_FLAGS = 1
const CTA_FILTER_REPLY_FLAGS = 2
/** Which parts of a tuple the kernel compares (net/netfilter/nf_internals.h of the kernel). */
const CTA_FILTER_F_CTA_PROTO_NUM = 1 << 3
const CTA_FILTER_F_CTA_PROTO_DST_PORT = 1 << 5

const familyNumber = (family: Family): number => (family === 4 ? 2 : 10)

/** struct nfgenmsg { u8 family, u8 version, be16 res_id }, then attributes. */
const query = (
  family: Family,
  message: { readonly number: number; readonly flags: number },
  attributes: readonly Uint8Array[],
): Query => ({
  type: (NFNL_SUBSYS_CTNETLINK << 8) | message.number,
  flags: NLM_F_REQUEST | message.flags,
  body: concat([new Writer().u8(familyNumber(family)).u8(0).u16(0).done(), ...attributes]),
})

export type PortFilter = {
  readonly family: Family
  /** IANA's number. */
  readonly protocol: number
  /** What the first packet was sent to. */
  readonly port: number
}

/** Every entry of one destination port; kernels before 5.8 know no filters and answer all. */
export const dumpFlows = ({ family, protocol, port }: PortFilter): Query =>
  query(family, { number: IPCTNL_MSG_CT_GET, flags: NLM_F_DUMP }, [
    nested(CTA_TUPLE_ORIG, [
      nested(CTA_TUPLE_PROTO, [
        u8(CTA_PROTO_NUM, protocol),
        attribute(CTA_PROTO_DST_PORT, new Writer().u16be(port).done()),
      ]),
    ]),
    nested(CTA_FILTER, [
      u32(CTA_FILTER_ORIG_FLAGS, CTA_FILTER_F_CTA_PROTO_NUM | CTA_FILTER_F_CTA_PROTO_DST_PORT),
      u32(CTA_FILTER_REPLY_FLAGS, 0),
    ]),
  ])

/** One direction of a connection. */
export type Tuple = {
  readonly source: Address
  readonly target: Address
  readonly protocol: number
  readonly sourcePort: number
  readonly targetPort: number
}

export type Flow = {
  readonly original: Tuple
  readonly reply: Tuple
  /** The kernel's own number of the entry, and its zone, if it has one. */
  readonly id: Uint8Array | undefined
  readonly zone: Uint8Array | undefined
}

/** Body of IPCTNL_MSG_CT_NEW as the kernel reports it; undefined for what has no ports. */
export function decodeFlow(body: Uint8Array): Flow | undefined {
  const reader = new Reader(body)
  reader.u32()
  const found = readAttributes(reader.rest())
  const original = readTuple(found.get(CTA_TUPLE_ORIG))
  const reply = readTuple(found.get(CTA_TUPLE_REPLY))
  if (!original || !reply) return undefined
  return { original, reply, id: found.get(CTA_ID), zone: found.get(CTA_ZONE) }
}

function readTuple(payload: Uint8Array | undefined): Tuple | undefined {
  const parts = payload && readAttributes(payload)
  const ip = inside(parts, CTA_TUPLE_IP)
  const proto = inside(parts, CTA_TUPLE_PROTO)
  const source = readAddress(ip?.get(CTA_IP_V4_SRC) ?? ip?.get(CTA_IP_V6_SRC))
  const target = readAddress(ip?.get(CTA_IP_V4_DST) ?? ip?.get(CTA_IP_V6_DST))
  const number = proto?.get(CTA_PROTO_NUM)
  const sourcePort = readPort(proto?.get(CTA_PROTO_SRC_PORT))
  const targetPort = readPort(proto?.get(CTA_PROTO_DST_PORT))
  if (!source || !target || !number || sourcePort === undefined || targetPort === undefined)
    return undefined
  return { source, target, protocol: readU8(number), sourcePort, targetPort }
}

const inside = (parts: Attributes | undefined, type: number): Attributes | undefined => {
  const payload = parts?.get(type)
  return payload && readAttributes(payload)
}

const readAddress = (payload: Uint8Array | undefined): Address | undefined =>
  payload && addressFromBytes(payload)

function readPort(payload: Uint8Array | undefined): number | undefined {
  if (payload?.length !== 2) return undefined
  return ((payload[0] ?? 0) << 8) | (payload[1] ?? 0)
}

/** Forgets one entry, and no later one of the same tuple; ENOENT if it is gone. */
export const deleteFlow = ({ original, id, zone }: Flow): Query =>
  query(original.source.family, { number: IPCTNL_MSG_CT_DELETE, flags: NLM_F_ACK }, [
    nested(CTA_TUPLE_ORIG, tupleAttributes(original)),
    ...(id ? [attribute(CTA_ID, id)] : []),
    ...(zone ? [attribute(CTA_ZONE, zone)] : []),
  ])

function tupleAttributes(tuple: Tuple): readonly Uint8Array[] {
  const { source, target, protocol, sourcePort, targetPort } = tuple
  const isIpv4 = source.family === 4
  const port = (type: number, value: number): Uint8Array =>
    attribute(type, new Writer().u16be(value).done())
  return [
    nested(CTA_TUPLE_IP, [
      attribute(isIpv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, addressBytes(source)),
      attribute(isIpv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, addressBytes(target)),
    ]),
    nested(CTA_TUPLE_PROTO, [
      u8(CTA_PROTO_NUM, protocol),
      port(CTA_PROTO_SRC_PORT, sourcePort),
      port(CTA_PROTO_DST_PORT, targetPort),
    ]),
  ]
}
