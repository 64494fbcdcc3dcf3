import { type Address, type Family, formatAddress, parseAddress } from '../base/address.ts'
import { formatMac, parseMac } from '../base/mac.ts'
import { fieldOf, shown, textOf } from './json-value.ts'
import type { FlannelVtep } from './node.ts'

// What nodes that run Flannel tell one another, in annotations of their Node objects, so that a
// cluster can move from one to the other node by node.

const prefix = 'flannel.alpha.coreos.com/'
export const flannelKeys = {
  managed: `${prefix}kube-subnet-manager`,
  type: `${prefix}backend-type`,
  4: {
    data: `${prefix}backend-data`,
    address: `${prefix}public-ip`,
    overwrite: `${prefix}public-ip-overwrite`,
  },
  6: {
    data: `${prefix}backend-v6-data`,
    address: `${prefix}public-ipv6`,
    overwrite: `${prefix}public-ipv6-overwrite`,
  },
} as const

/** Annotations of a Node: nothing is sure of their values until they have been looked at. */
export type Annotations = { readonly [key: string]: unknown }
export type ReadVteps = {
  readonly vteps: readonly FlannelVtep[]
  readonly problems: readonly string[]
}

const families: readonly Family[] = [4, 6]
/** Longer than anything Flannel writes: a MAC and a number. */
const dataCharactersMax = 1024
/** VNIs have 24 bits (RFC 7348 section 5). */
const vniMax = 2 ** 24 - 1

/**
 * Tunnel ends that a node's annotations tell of. None for a node that Flannel does not manage, or
 * one with a backend other than vxlan: Flannel's own peers leave those out too. Half an end is a
 * problem: an address without its MAC can't be spoken to.
 */
export function readFlannelVteps(annotations: Annotations): ReadVteps {
  if (fieldOf(annotations, flannelKeys.managed) !== 'true') return none
  if (fieldOf(annotations, flannelKeys.type) !== 'vxlan') return none
  const read = families.map((family) => readVtep(annotations, family))
  return {
    vteps: read.flatMap(({ vteps }) => vteps),
    problems: read.flatMap(({ problems }) => problems),
  }
}

const none: ReadVteps = { vteps: [], problems: [] }
const problem = (text: string): ReadVteps => ({ vteps: [], problems: [text] })

function readVtep(annotations: Annotations, family: Family): ReadVteps {
  const keys = flannelKeys[family]
  const data = textOf(fieldOf(annotations, keys.data)) ?? ''
  const addressText = textOf(fieldOf(annotations, keys.address)) ?? ''
  // "null" is what older Flannels wrote for the family that they don't use.
  if (data === '' || data === 'null') return none
  const address = parseAddress(addressText)
  if (address?.family !== family)
    return problem(`${keys.address} is ${shown(addressText)}, not an IPv${family} address`)
  const end = readBackendData(data)
  if (end === undefined)
    return problem(`${keys.data} is ${shown(data)}, not {"VNI":1,"VtepMAC":"02:…"}`)
  return { vteps: [{ family, address, ...end }], problems: [] }
}

function readBackendData(text: string): { mac: string; vni: number } | undefined {
  const data = text.length <= dataCharactersMax ? parseJson(text) : undefined
  const mac = parseMac(textOf(fieldOf(data, 'VtepMAC')) ?? '')
  const vni = fieldOf(data, 'VNI')
  if (mac === undefined || typeof vni !== 'number') return undefined
  const isVni = Number.isInteger(vni) && vni >= 1 && vni <= vniMax
  return isVni ? { mac: formatMac(mac), vni } : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * The annotations by which Flannel's nodes find a node of ours: as Flannel's own daemon writes
 * them, key for key and byte for byte. Where a person wrote an overwriting public address (a node
 * behind NAT), that one is given, as Flannel does.
 */
export function flannelAnnotations(
  vteps: readonly FlannelVtep[],
  present: Annotations,
): Readonly<Record<string, string>> {
  const written: Record<string, string> = {
    [flannelKeys.managed]: 'true',
    [flannelKeys.type]: 'vxlan',
  }
  for (const { family, address, mac, vni } of vteps) {
    const keys = flannelKeys[family]
    written[keys.data] = JSON.stringify({ VNI: vni, VtepMAC: mac })
    written[keys.address] = formatAddress(overwritten(present, family) ?? address)
  }
  return written
}

function overwritten(present: Annotations, family: Family): Address | undefined {
  const text = textOf(fieldOf(present, flannelKeys[family].overwrite))
  const address = text === undefined ? undefined : parseAddress(text)
  return address?.family === family ? address : undefined
}
