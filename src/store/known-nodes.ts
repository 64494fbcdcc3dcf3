import { readFileSync } from 'node:fs'
import { type Address, formatAddress, parseAddress } from '../base/address.ts'
import { formatPrefix, type Prefix, parsePrefix } from '../base/prefix.ts'
import { type ClusterNode, type FlannelVtep, routeModes } from '../cluster/node.ts'
import { makeFolder } from './database.ts'
import { replaceText, syncFolder } from './durable.ts'

/** The cluster as it was last known: what a node goes by while nobody answers. */
export type KnownNodes = {
  /** Of the node that wrote this: a copied disk is another node's. */
  readonly node: string
  /** This node among them. */
  readonly nodes: readonly ClusterNode[]
}

export type ReadKnown =
  | { readonly kind: 'known'; readonly known: KnownNodes }
  | { readonly kind: 'absent' }
  /** Not ours, cut, or of another version: as good as absent, and worth a line in the log. */
  | { readonly kind: 'damaged'; readonly path: string; readonly why: string }

const version = 1
export const knownNodesPath = (stateDir: string): string => `${stateDir}/known-nodes.json`

/** Whole and on the disk when this returns, or as it was before. */
export function writeKnownNodes(stateDir: string, { node, nodes }: KnownNodes): void {
  makeFolder(stateDir)
  const list = nodes.map(textOfNode).join(',')
  const text = `{"version":${version},"node":${JSON.stringify(node)},"nodes":[${list}]}\n`
  replaceText(knownNodesPath(stateDir), 0o600, text)
  syncFolder(stateDir)
}

/** Each node is a value that never changes: of thousands, few are others than the last time. */
const texts = new WeakMap<ClusterNode, string>()
function textOfNode(node: ClusterNode): string {
  const text = texts.get(node) ?? JSON.stringify(plainNode(node))
  texts.set(node, text)
  return text
}

const plainNode = ({ name, addresses, podCIDRs, mode, flannel }: ClusterNode): object => ({
  name,
  addresses: addresses.map(formatAddress),
  podCIDRs: podCIDRs.map(formatPrefix),
  ...(mode ? { mode } : {}),
  ...(flannel ? { flannel: flannel.map(plainVtep) } : {}),
})

const plainVtep = ({ address, ...rest }: FlannelVtep): object => ({
  ...rest,
  address: formatAddress(address),
})

export function readKnownNodes(stateDir: string): ReadKnown {
  const path = knownNodesPath(stateDir)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'absent' }
    return { kind: 'damaged', path, why: (refusal as Error).message }
  }
  try {
    return { kind: 'known', known: decode(JSON.parse(text)) }
  } catch (refusal) {
    return { kind: 'damaged', path, why: (refusal as Error).message }
  }
}

type Plain = Readonly<Record<string, unknown>>

function decode(value: unknown): KnownNodes {
  const { version: found, node, nodes } = objectOf(value, 'the file')
  if (found !== version) throw new Error(`version ${String(found)}, not ${version}`)
  return { node: textOf(node, 'node'), nodes: listOf(nodes, 'nodes').map(decodeNode) }
}

function decodeNode(value: unknown): ClusterNode {
  const { name, addresses, podCIDRs, mode, flannel } = objectOf(value, 'a node')
  const asked = routeModes.find((one) => one === mode)
  if (mode !== undefined && asked === undefined) throw new Error(`mode ${String(mode)}`)
  return {
    name: textOf(name, 'name'),
    addresses: listOf(addresses, 'addresses').map(decodeAddress),
    podCIDRs: listOf(podCIDRs, 'podCIDRs').map(decodePrefix),
    ...(asked === undefined ? {} : { mode: asked }),
    ...(flannel === undefined ? {} : { flannel: listOf(flannel, 'flannel').map(decodeVtep) }),
  }
}

function decodeVtep(value: unknown): FlannelVtep {
  const { family, address, mac, vni } = objectOf(value, 'a tunnel end')
  if ((family !== 4 && family !== 6) || typeof vni !== 'number') throw new Error('a tunnel end')
  return { family, address: decodeAddress(address), mac: textOf(mac, 'mac'), vni }
}

const decodeAddress = (value: unknown): Address =>
  parseAddress(textOf(value, 'an address')) ?? odd('an address', value)
const decodePrefix = (value: unknown): Prefix =>
  parsePrefix(textOf(value, 'a podCIDR')) ?? odd('a podCIDR', value)

const objectOf = (value: unknown, what: string): Plain =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Plain)
    : odd(what, value)
const listOf = (value: unknown, what: string): readonly unknown[] =>
  Array.isArray(value) ? value : odd(what, value)
const textOf = (value: unknown, what: string): string =>
  typeof value === 'string' ? value : odd(what, value)

function odd(what: string, value: unknown): never {
  throw new Error(`${what} is ${String(JSON.stringify(value)).slice(0, 80)}`)
}
