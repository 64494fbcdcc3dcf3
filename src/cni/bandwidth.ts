import { type Prefix, parsePrefix } from '../base/prefix.ts'
import { describe } from './config.ts'
import { code, fault } from './fault.ts'
import { quantityOf } from './quantity.ts'

/** Keys of the capability `bandwidth`, and of the configuration itself; 0 is as good as absent. */
export type BandwidthKeys = {
  readonly ingressRate?: number
  readonly ingressBurst?: number
  readonly egressRate?: number
  readonly egressBurst?: number
  readonly unshapedSubnets?: readonly string[]
  readonly shapedSubnets?: readonly string[]
}

export type BandwidthSources = BandwidthKeys & {
  readonly bandwidthLatencyMilliseconds?: number
  readonly runtimeConfig?: {
    readonly bandwidth?: BandwidthKeys | null
    readonly 'io.kubernetes.cri.pod-annotations'?: Readonly<Record<string, unknown>> | null
  }
}

/** Bits per second, and bits; no burst: whoever asked did not say. */
export type Rate = { readonly rateBits: number; readonly burstBits: number | null }

/** To the pod, and from the pod. */
export type Bandwidth = {
  readonly ingress: Rate | null
  readonly egress: Rate | null
  /** Other ends of the pod's traffic that no limit holds for, or the only ones that one does. */
  readonly subnets: { readonly kind: 'unshaped' | 'shaped'; readonly prefixes: readonly Prefix[] }
  readonly latencyMilliseconds: number
}

export const latencyMillisecondsDefault = 25
/** Each is a filter that a packet passes in turn, in both directions. */
const subnetsMax = 256
/**
 * What CRI runtimes send for want of an annotation: containerd 2³² − 1 bits, CRI-O 8 times that. It
 * would let the first half gigabyte through (kubernetes#90838), so it stands for "not said".
 */
const unsaidBurstBits = 0xffffffff
/** As Kubernetes takes them in the annotations. */
const annotatedRate = { min: 1e3, max: 1e15 } as const

/**
 * The limits that are asked for, null if none: each direction by the configuration, else by the
 * capability, else by the pod's annotations.
 */
export function readBandwidth(config: BandwidthSources): Bandwidth | null {
  const ingress = readRate(config, 'ingress')
  const egress = readRate(config, 'egress')
  const subnets = readSubnets(config)
  if (!ingress && !egress) return null
  const latencyMilliseconds = config.bandwidthLatencyMilliseconds ?? latencyMillisecondsDefault
  return { ingress, egress, subnets, latencyMilliseconds }
}

type Direction = 'ingress' | 'egress'

function readRate(config: BandwidthSources, direction: Direction): Rate | null {
  const { bandwidth, 'io.kubernetes.cri.pod-annotations': annotations } = config.runtimeConfig ?? {}
  return (
    statedRate(config, direction, '') ??
    statedRate(bandwidth ?? {}, direction, 'runtimeConfig.bandwidth.') ??
    annotatedRateOf(annotations ?? {}, direction)
  )
}

function statedRate(keys: BandwidthKeys, direction: Direction, path: string): Rate | null {
  const rateBits = keys[`${direction}Rate`] ?? 0
  const burst = keys[`${direction}Burst`] ?? 0
  if (rateBits === 0 && burst > 0)
    throw invalid(`${path}${direction}Burst`, burst, `0, unless there is a ${direction}Rate`)
  if (rateBits === 0) return null
  return { rateBits, burstBits: burst === 0 || burst >= unsaidBurstBits ? null : burst }
}

function annotatedRateOf(
  annotations: Readonly<Record<string, unknown>>,
  direction: Direction,
): Rate | null {
  const key = `kubernetes.io/${direction}-bandwidth`
  const text = annotations[key]
  if (text === undefined) return null
  const rateBits = typeof text === 'string' ? quantityOf(text) : undefined
  const { min, max } = annotatedRate
  if (rateBits === undefined || rateBits < min || rateBits > max)
    throw invalid(
      `runtimeConfig["io.kubernetes.cri.pod-annotations"]["${key}"]`,
      text,
      'bits per second as a Kubernetes quantity from "1k" to "1P", such as "10M"',
    )
  return { rateBits, burstBits: null }
}

/** The configuration's own lists win over the capability's; both kinds at once make no sense. */
function readSubnets(config: BandwidthSources): Bandwidth['subnets'] {
  const own = listsOf(config, '')
  const lists = own.length > 0 ? own : listsOf(config.runtimeConfig?.bandwidth ?? {}, runtimePath)
  const [first, second] = lists
  if (!first) return { kind: 'unshaped', prefixes: [] }
  if (second)
    throw invalid(second.path, second.subnets, `absent, as there are ${first.path}; one of the two`)
  if (first.subnets.length > subnetsMax)
    throw invalid(first.path, `${first.subnets.length} networks`, `${subnetsMax} networks at most`)
  return { kind: first.kind, prefixes: first.subnets.map((text, at) => prefixOf(first, text, at)) }
}
const runtimePath = 'runtimeConfig.bandwidth.'

type List = {
  readonly kind: 'unshaped' | 'shaped'
  readonly path: string
  readonly subnets: readonly string[]
}

const listsOf = (keys: BandwidthKeys, path: string): readonly List[] =>
  (['unshaped', 'shaped'] as const).flatMap((kind) => {
    const subnets = keys[`${kind}Subnets`] ?? []
    return subnets.length > 0 ? { kind, path: `${path}${kind}Subnets`, subnets } : []
  })

function prefixOf({ path }: List, text: string, at: number): Prefix {
  const prefix = parsePrefix(text)
  if (prefix) return prefix
  throw invalid(`${path}[${at}]`, text, 'a network such as "10.0.0.0/8"')
}

const invalid = (path: string, found: unknown, accepted: string): Error =>
  fault(
    code.invalidConfig,
    'invalid network configuration',
    `${path} is ${describe(found)}; accepted: ${accepted}`,
  )
