import { u8, u32be } from '../netlink/attribute.ts'
import { type Expression, expression } from './expression.ts'

// What conntrack knows of a packet's connection: include/uapi/linux/netfilter/nf_tables.h. A rule
// ends where a packet has no connection, and where its addresses are of the other family.

const keys = {
  state: 0,
  direction: 1,
  mark: 3,
} as const

/** [ ct load KEY => reg ]: `state` as bits and `mark` in host order, `direction` one byte. */
export const connection = (key: keyof typeof keys, into: number): Expression =>
  expression('ct', [u32be(1, into), u32be(2, keys[key])])

/** [ ct set mark with reg ] */
export const markConnection = (from: number): Expression =>
  expression('ct', [u32be(4, from), u32be(2, keys.mark)])

/** NF_CT_STATE_BIT, NF_CT_STATE_INVALID_BIT and NF_CT_STATE_UNTRACKED_BIT. */
export const connectionStates = {
  invalid: 1,
  established: 2,
  related: 4,
  new: 8,
  untracked: 64,
} as const

/** IP_CT_DIR_ORIGINAL and IP_CT_DIR_REPLY, as `direction` loads them. */
export const directions = { original: 0, reply: 1 } as const
export type PacketDirection = keyof typeof directions

const tupleKeys = { port: 11, address4: 19, address6: 21 } as const

/**
 * [ ct load src_ip => reg , dir DIRECTION ]: the source in that direction's tuple. Of the reply's
 * it is who answers: a connection's destination behind DNAT. A port is two bytes in network order.
 */
export const tupleSource = (
  direction: PacketDirection,
  field: keyof typeof tupleKeys,
  into: number,
): Expression =>
  expression('ct', [u32be(1, into), u32be(2, tupleKeys[field]), u8(3, directions[direction])])
