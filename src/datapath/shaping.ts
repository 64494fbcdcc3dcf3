import type { FilterPlace, NewFilter, Protocol } from '../wire/rtnl/filter.ts'
import type { IfIndex } from '../wire/rtnl/link.ts'
import type { TokenBucket } from '../wire/rtnl/qdisc.ts'
import type { Hook } from '../wire/rtnl/traffic-control.ts'
import { prefixOf } from './wiring.ts'

/**
 * Limits of a pod's traffic. To the pod they hold where the host end sends: a token bucket at its
 * root. From the pod they hold where the host end receives, and there is no queue there: filters
 * redirect packets to an ifb, whose root has the bucket. Where only some traffic is limited, what
 * is sent is redirected to an ifb of its own in the same way, and the rest never sees a bucket.
 */
export type Shaping = {
  /** To the pod. */
  readonly ingress: Shape | null
  /** From the pod. */
  readonly egress: Shape | null
  readonly subnets: { readonly kind: 'unshaped' | 'shaped'; readonly prefixes: readonly string[] }
  readonly latencyMilliseconds: number
  /** Somebody else had a qdisc for filters on the host end: it stays when ours go. */
  readonly keepsClassifier: boolean
}

/** Rate in bits per second, burst in bits as it was asked for; null: it was not. */
export type Shape = { readonly rateBits: number; readonly burstBits: number | null }

/** Major number of our buckets, "tu": the kernel refuses to remove a root with another. */
export const bucketHandle = 0x74750000

/** An unasked burst, in time: long enough for a timer that comes late. */
const burstMilliseconds = 10
/** An asked one may be longer, for short flows to pass at once, but not for half a pod's life. */
const burstMillisecondsMax = 1000
/** Ethernet's header with a VLAN tag. */
const headerBytes = 18
/** A bucket that no frame fits into drops them all; with room for one alone TCP starves. */
const framesMin = 2
/** Fewer that wait are too few for TCP to keep a slow link busy. */
const waitingFramesMin = 4
/** Faster than that a burst need not be. */
const peakRateBytes = 1.25e9
/** tc's own fields end there. */
const bytesMax = 0xffffffff

/**
 * What the kernel is told. Bytes that wait take up to `latencyMilliseconds` to pass, unless that is
 * less than two frames. Segmented packets (GSO) larger than the burst are cut by the bucket itself,
 * so that each of a queue's drops costs TCP a segment or a few, not 64 KiB.
 */
export function bucketOf(
  { rateBits, burstBits }: Shape,
  { latencyMilliseconds }: Pick<Shaping, 'latencyMilliseconds'>,
  mtuBytes: number,
): TokenBucket {
  const rateBytes = Math.max(1, Math.floor(rateBits / 8))
  const frame = mtuBytes + headerBytes
  const most = bytesIn(rateBytes, burstMillisecondsMax)
  const asked = burstBits === null ? bytesIn(rateBytes, burstMilliseconds) : burstBits / 8
  const burstBytes = within(Math.min(asked, most), framesMin * frame)
  const limitBytes = within(bytesIn(rateBytes, latencyMilliseconds), waitingFramesMin * frame)
  const packetBytes = Math.max(framesMin * frame, Math.floor(limitBytes / waitingFramesMin))
  const peak = { rateBytes: Math.max(peakRateBytes, rateBytes * 2), packetBytes }
  return { rateBytes, burstBytes, limitBytes, peak: burstBytes > limitBytes ? peak : undefined }
}

const within = (bytes: number, least: number): number =>
  Math.min(bytesMax, Math.max(least, Math.floor(bytes)))

const bytesIn = (rateBytes: number, milliseconds: number): number =>
  (rateBytes * milliseconds) / 1000

/** Directions whose packets are redirected, and where the host end sees them. */
export type Redirection = {
  readonly direction: 'ingress' | 'egress'
  readonly hook: Hook
  readonly shape: Shape
}

export function redirectionsOf({ ingress, egress, subnets }: Shaping): readonly Redirection[] {
  const some = subnets.prefixes.length > 0
  return [
    ...(egress ? [{ direction: 'egress', hook: 'ingress', shape: egress } as const] : []),
    ...(ingress && some ? [{ direction: 'ingress', hook: 'egress', shape: ingress } as const] : []),
  ]
}

/** The limit that the host end's own root has, if any. */
export const rootShapeOf = ({ ingress, subnets }: Shaping): Shape | null =>
  subnets.prefixes.length > 0 ? null : ingress

/**
 * After those that tc numbers by itself (from 49152 down): a policy agent on the same hook decides
 * first what may pass, and the packet's way through an ifb does not lead around it.
 */
const preferences = {
  ingress: { ip: 61001, ipv6: 61002, all: 61003 },
  // Not the same ones: u32 filters of both hooks are of one qdisc, and a listing mixes them up.
  egress: { ip: 61011, ipv6: 61012, all: 61013 },
} as const
const protocols: readonly Protocol[] = ['ip', 'ipv6', 'all']

export const filterPlaces = (link: IfIndex, hook: Hook): readonly FilterPlace[] =>
  protocols.map((protocol) => ({ link, hook, protocol, preference: preferences[hook][protocol] }))

export const isOurPreference = (hook: Hook, preference: number): boolean =>
  protocols.some((protocol) => preferences[hook][protocol] === preference)

/** The pod's peer is where packets from it go to, and where packets to it come from. */
const peerAt = { egress: 'destination', ingress: 'source' } as const

/** The filters of one direction, in the order in which a packet meets them. */
export function filtersOf(
  { subnets }: Shaping,
  { direction, hook }: Redirection,
  { link, ifb }: { readonly link: IfIndex; readonly ifb: IfIndex },
): readonly NewFilter[] {
  const { kind, prefixes } = subnets
  const listed = prefixes.map((text): NewFilter => {
    const prefix = prefixOf(text)
    const protocol = prefix.address.family === 4 ? 'ip' : 'ipv6'
    return {
      link,
      hook,
      protocol,
      preference: preferences[hook][protocol],
      match: { at: peerAt[direction], prefix },
      redirectTo: kind === 'shaped' ? ifb : null,
    }
  })
  if (kind === 'shaped') return listed
  const rest: NewFilter = {
    link,
    hook,
    protocol: 'all',
    preference: preferences[hook].all,
    match: null,
    redirectTo: ifb,
  }
  return [...listed, rest]
}
