import { decodeText, Reader, Writer } from '../../base/bytes.ts'
import {
  type Attribute,
  attribute,
  nested,
  readAttributes,
  text,
  u32,
} from '../netlink/attribute.ts'
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  type Query,
} from '../netlink/message.ts'
import type { IfIndex } from './link.ts'
import {
  decodeTrafficControl,
  TC_H_CLSACT,
  TC_H_ROOT,
  TCA_KIND,
  TCA_OPTIONS,
  trafficControl,
} from './traffic-control.ts'

const RTM_NEWQDISC = 36
const RTM_DELQDISC = 37
const RTM_GETQDISC = 38

// include/uapi/linux/pkt_sched.h
const TCA_TBF_PARMS = 1
const TCA_TBF_RATE64 = 4
const TCA_TBF_PRATE64 = 5
const TCA_TBF_BURST = 6
const TCA_TBF_PBURST = 7
/** The kernel reckons with the length of an Ethernet frame itself: no table of times is sent. */
const TC_LINKLAYER_ETHERNET = 1
/** A tick of the packet scheduler, PSCHED_SHIFT 6 of include/net/pkt_sched.h. */
const tickNanoseconds = 64

export type TokenBucket = {
  readonly rateBytes: number
  readonly burstBytes: number
  /** What may wait for tokens; more is dropped. */
  readonly limitBytes: number
  /** A second bucket, for the pace within a burst; a packet larger than it is cut. */
  readonly peak?: Peak | undefined
}
export type Peak = { readonly rateBytes: number; readonly packetBytes: number }

export type NewTokenBucket = TokenBucket & { readonly link: IfIndex; readonly handle: number }

/** A token bucket at the root of a link; refused with EEXIST where somebody has put another. */
export const newTokenBucket = ({ link, handle, ...bucket }: NewTokenBucket): Query => ({
  type: RTM_NEWQDISC,
  flags: creating,
  body: trafficControl({ link, handle, parent: TC_H_ROOT }, [
    text(TCA_KIND, 'tbf'),
    nested(TCA_OPTIONS, [
      ...wideRate(TCA_TBF_RATE64, bucket.rateBytes),
      ...(bucket.peak ? wideRate(TCA_TBF_PRATE64, bucket.peak.rateBytes) : []),
      attribute(TCA_TBF_PARMS, parameters(bucket)),
      u32(TCA_TBF_BURST, bucket.burstBytes),
      ...(bucket.peak ? [u32(TCA_TBF_PBURST, bucket.peak.packetBytes)] : []),
    ]),
  ]),
})

const creating = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL

const wideRate = (type: number, rateBytes: number): readonly Attribute[] =>
  rateBytes > 0xffffffff ? [attribute(type, u64(rateBytes))] : []

const u64 = (value: number): Uint8Array =>
  new Writer()
    .u32(value % 0x100000000)
    .u32(Math.floor(value / 0x100000000))
    .done()

/**
 * struct tc_tbf_qopt (36 bytes): rate and peak rate, each a struct tc_ratespec (cell_log,
 * linklayer, overhead, cell_align, mpu, rate), limit, buffer in ticks, mtu. A rate that does not
 * fit is all ones here, and whole in TCA_TBF_RATE64; TCA_TBF_BURST overrules the buffer.
 */
function parameters(bucket: TokenBucket): Uint8Array {
  const { rateBytes, burstBytes, limitBytes, peak } = bucket
  return new Writer()
    .bytes(rateOf(rateBytes))
    .bytes(peak ? rateOf(peak.rateBytes) : new Uint8Array(12))
    .u32(limitBytes)
    .u32(ticksOf(burstBytes, rateBytes))
    .u32(peak ? ticksOf(peak.packetBytes, peak.rateBytes) : 0)
    .done()
}

function rateOf(bytes: number): Uint8Array {
  const spec = new Writer().u8(0).u8(TC_LINKLAYER_ETHERNET).u16(0).u16(0).u16(0)
  return spec.u32(Math.min(bytes, 0xffffffff)).done()
}

/** The time in which the rate fills the bucket, in ticks of the kernel. */
export const ticksOf = (bytes: number, rateBytes: number): number =>
  Math.min(0xffffffff, Math.floor((bytes * 1e9) / rateBytes / tickNanoseconds))

/** Carries filters on what a link receives and sends; EEXIST where there is one, or an ingress. */
export const newClsact = (link: IfIndex): Query => ({
  type: RTM_NEWQDISC,
  flags: creating,
  body: trafficControl({ link, handle: clsactHandle, parent: TC_H_CLSACT }, [
    text(TCA_KIND, 'clsact'),
  ]),
})
const clsactHandle = 0xffff0000

export const deleteClsact = (link: IfIndex): Query => deleteQdisc(link, clsactHandle, TC_H_CLSACT)

/** Refused with EINVAL or ENOENT unless the root qdisc has this handle. */
export const deleteRootQdisc = (link: IfIndex, handle: number): Query =>
  deleteQdisc(link, handle, TC_H_ROOT)

const deleteQdisc = (link: IfIndex, handle: number, parent: number): Query => ({
  type: RTM_DELQDISC,
  flags: NLM_F_REQUEST | NLM_F_ACK,
  body: trafficControl({ link, handle, parent }, []),
})

/** Of every link: the kernel does not look at the one that is named. */
export const dumpQdiscs = (): Query => ({
  type: RTM_GETQDISC,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  body: trafficControl({ link: 0 as IfIndex }, []),
})

export type ObservedQdisc = {
  readonly link: IfIndex
  readonly kind: string
  readonly handle: number
  readonly parent: number
  /** A token bucket's: its size is told as a time. */
  readonly bucket: ObservedBucket | undefined
}
export type ObservedBucket = Omit<TokenBucket, 'burstBytes'> & { readonly ticks: number }

export function decodeQdisc(bytes: Uint8Array): ObservedQdisc {
  const { link, handle, parent, attributes } = decodeTrafficControl(bytes)
  const name = attributes.get(TCA_KIND)
  const kind = name ? decodeText(name) : ''
  const options = attributes.get(TCA_OPTIONS)
  const bucket = kind === 'tbf' && options ? decodeBucket(options) : undefined
  return { link, kind, handle, parent, bucket }
}

function decodeBucket(options: Uint8Array): ObservedBucket | undefined {
  const found = readAttributes(options)
  const fixed = found.get(TCA_TBF_PARMS)
  if (!fixed) return undefined
  const reader = new Reader(fixed)
  reader.bytes(8)
  const rate = reader.u32()
  reader.bytes(12)
  const limitBytes = reader.u32()
  const ticks = reader.u32()
  const wide = found.get(TCA_TBF_RATE64)
  return { rateBytes: wide ? readU64(wide) : rate, limitBytes, ticks }
}

function readU64(payload: Uint8Array): number {
  const reader = new Reader(payload)
  return reader.u32() + reader.u32() * 0x100000000
}
