import { type Address, parseAddress, sameAddress } from '../base/address.ts'
import { networkOf, type Prefix, parsePrefix, samePrefix } from '../base/prefix.ts'
import { readFlannelVteps } from './flannel.ts'
import { at, fieldOf, isObject, listOf, shown, textOf } from './json-value.ts'
import { type ClusterNode, type RouteMode, routeModes } from './node.ts'
import { isNodeName } from './node-name.ts'

export const routeModeAnnotation = 'tulle.dev/route-mode'

/** `flannelCompat`: Flannel's annotations count. Otherwise a stale one could lead astray. */
export type DecodeOptions = { readonly flannelCompat: boolean }

/**
 * What could be read, and what in it is wrong. A wrong part is left out, the rest counts: one odd
 * annotation must not cut off a node's pods. Without a name there is no node at all.
 */
export type DecodedNode = {
  readonly node: ClusterNode | undefined
  readonly problems: readonly string[]
}

/** A Node has one prefix a family; more than this many of anything is nonsense or an attack. */
const listMax = 32

/** Which addresses other nodes use; those of the first kind come first in each family. */
const addressTypes = ['InternalIP', 'ExternalIP'] as const

/**
 * Reads a Kubernetes Node (core/v1) as an API server sent it. Absent podCIDRs and addresses are no
 * problem: a node gets them a while after it joined.
 */
export function decodeNode(object: unknown, { flannelCompat }: DecodeOptions): DecodedNode {
  const name = textOf(at(object, 'metadata', 'name'))
  if (name === undefined || !isNodeName(name))
    return { node: undefined, problems: [`a Node's name is ${shown(name)}`] }
  const annotations = at(object, 'metadata', 'annotations')
  const addresses = readAddresses(at(object, 'status', 'addresses'))
  const podCIDRs = readPodCIDRs(fieldOf(object, 'spec'))
  const mode = readMode(fieldOf(annotations, routeModeAnnotation))
  const flannel =
    flannelCompat && isObject(annotations)
      ? readFlannelVteps(annotations)
      : { vteps: [], problems: [] }
  return {
    node: {
      name,
      addresses: addresses.read,
      podCIDRs: podCIDRs.read,
      ...(mode.read[0] === undefined ? {} : { mode: mode.read[0] }),
      ...(flannel.vteps.length === 0 ? {} : { flannel: flannel.vteps }),
    },
    problems: [addresses, podCIDRs, mode, flannel].flatMap(({ problems }) => problems),
  }
}

type Read<Value> = { readonly read: readonly Value[]; readonly problems: readonly string[] }

/** InternalIPs, then ExternalIPs of a family that has no InternalIP. */
function readAddresses(list: unknown): Read<Address> {
  const problems: string[] = []
  const byType = addressTypes.map((type) =>
    shortened(listOf(list), 'status.addresses', problems)
      .filter((entry) => fieldOf(entry, 'type') === type)
      .flatMap((entry) => {
        const text = fieldOf(entry, 'address')
        const address = typeof text === 'string' ? parseAddress(text) : undefined
        if (address === undefined) problems.push(`its ${type} is ${shown(text)}, not an address`)
        return address ?? []
      }),
  )
  const [internal = [], external = []] = byType
  const fallback = external.filter(({ family }) => !internal.some((one) => one.family === family))
  return {
    read: distinct([...internal, ...fallback], sameAddress),
    problems: [...new Set(problems)],
  }
}

/** `podCIDRs`, or the older `podCIDR`; host bits are cleared, as the kernel wants of a route. */
function readPodCIDRs(spec: unknown): Read<Prefix> {
  const problems: string[] = []
  const list = listOf(fieldOf(spec, 'podCIDRs'))
  const single = fieldOf(spec, 'podCIDR')
  const texts = list.length > 0 || single === undefined || single === '' ? list : [single]
  const read = shortened(texts, 'spec.podCIDRs', problems).flatMap((text) => {
    const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
    if (prefix === undefined) problems.push(`its podCIDR is ${shown(text)}, not a prefix`)
    return prefix === undefined ? [] : networkOf(prefix)
  })
  return { read: distinct(read, samePrefix), problems }
}

function readMode(value: unknown): Read<RouteMode> {
  if (value === undefined || value === '') return { read: [], problems: [] }
  const mode = routeModes.find((one) => one === value)
  if (mode !== undefined) return { read: [mode], problems: [] }
  const words = routeModes.join(', ')
  return { read: [], problems: [`${routeModeAnnotation} is ${shown(value)}; it may be ${words}`] }
}

function shortened(list: readonly unknown[], what: string, problems: string[]): readonly unknown[] {
  if (list.length > listMax) problems.push(`${what} has ${list.length} entries; ${listMax} count`)
  return list.slice(0, listMax)
}

const distinct = <T>(list: readonly T[], isSame: (left: T, right: T) => boolean): readonly T[] =>
  list.filter((item, index) => list.findIndex((other) => isSame(item, other)) === index)
