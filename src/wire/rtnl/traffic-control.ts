import { concat, Reader, u32At, Writer } from '../../base/bytes.ts'
import { type Attributes, readAttributes } from '../netlink/attribute.ts'
import type { IfIndex } from './link.ts'

// What qdiscs and filters have in common: include/uapi/linux/rtnetlink.h and pkt_sched.h.

export const TCA_KIND = 1
export const TCA_OPTIONS = 2

/** A root qdisc hangs here. */
export const TC_H_ROOT = 0xffffffff
/** clsact and ingress hang here; they queue nothing, and only carry filters. */
export const TC_H_CLSACT = 0xfffffff1
/** Parents of filters on what a link receives, and on what it is about to send. */
const TC_H_MIN_INGRESS = 0xfff2
const TC_H_MIN_EGRESS = 0xfff3
export type Hook = 'ingress' | 'egress'
export const parentOf = (hook: Hook): number =>
  0xffff0000 + (hook === 'ingress' ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS)

export type Head = {
  readonly link: IfIndex
  /** Major number in the upper half, minor in the lower. */
  readonly handle?: number
  readonly parent?: number
  readonly info?: number
}

/** struct tcmsg (20 bytes: family, pad, ifindex, handle, parent, info), then attributes. */
export const trafficControl = (head: Head, attributes: readonly Uint8Array[]): Uint8Array => {
  const { link, handle = 0, parent = 0, info = 0 } = head
  return concat([
    new Writer().u32(0).u32(link).u32(handle).u32(parent).u32(info).done(),
    ...attributes,
  ])
}

/** The link alone: a dump tells of every one. */
export const linkOf = (bytes: Uint8Array): IfIndex => u32At(bytes, 4) as IfIndex

export type ObservedHead = Required<Head> & { readonly attributes: Attributes }

export function decodeTrafficControl(bytes: Uint8Array): ObservedHead {
  const reader = new Reader(bytes)
  reader.u32()
  const link = reader.u32() as IfIndex
  const handle = reader.u32()
  const parent = reader.u32()
  const info = reader.u32()
  return { link, handle, parent, info, attributes: readAttributes(reader.rest()) }
}
