import { contains, type Prefix } from '../base/prefix.ts'
import {
  allOf,
  areKnown,
  child,
  type Decoded,
  type Field,
  isAbsent,
  itemsOf,
  rootField,
  wrong,
} from './field.ts'
import { isObject } from './json-value.ts'
import { readLabelSelector } from './label-selector.ts'
import { parseLenientPrefix } from './lenient-prefix.ts'
import { readMetadata } from './metadata.ts'
import {
  type Direction,
  directions,
  type NetworkPolicy,
  type NetworkPolicyPeer,
  type NetworkPolicyRule,
} from './network-policy.ts'
import { readPolicyMode } from './policy-mode.ts'
import { isPort, isPortName, type PolicyPort, transports } from './policy-port.ts'

/**
 * Reads a NetworkPolicy and checks what an API server would (P1–P9). A rule with something wrong
 * in it stays, allowing nothing; without a selector that can be read there is no policy, since
 * nobody knows whose it is.
 */
export function decodeNetworkPolicy(object: unknown): Decoded<NetworkPolicy> {
  const field = rootField(object)
  const metadata = readMetadata(field)
  const spec = child(field, 'spec')
  if (!isAbsent(spec)) areKnown(spec, ['podSelector', 'policyTypes', 'ingress', 'egress'])
  else wrong(spec, 'what the policy says')
  const selector = child(spec, 'podSelector')
  const podSelector = isAbsent(selector) ? [] : readLabelSelector(selector)
  const read = directions.flatMap((direction) =>
    itemsOf(child(spec, direction)).map((rule) => readRule(rule, direction)),
  )
  const asked = readTypes(child(spec, 'policyTypes'), read)
  const mode = readPolicyMode(child(field, 'metadata'))
  const { problems } = field
  if (!metadata || !podSelector || !asked || isAbsent(spec)) return { value: undefined, problems }
  const { namespace, name } = metadata
  const rules = read.filter(({ direction }) => asked.includes(direction))
  const value = { namespace, name, ...mode, podSelector, directions: asked, rules }
  return { value, problems }
}

/** Absent and empty are the same: Ingress always, Egress where it has a rule (P1). */
function readTypes(
  field: Field,
  rules: readonly NetworkPolicyRule[],
): readonly Direction[] | undefined {
  const items = itemsOf(field)
  if (items.length === 0) {
    const hasEgress = rules.some(({ direction }) => direction === 'egress')
    return isAbsent(field) || Array.isArray(field.value)
      ? directions.filter((direction) => direction === 'ingress' || hasEgress)
      : undefined
  }
  const words = { Ingress: 'ingress', Egress: 'egress' } as const
  return allOf(
    items.map((item) => {
      const { value } = item
      return value === 'Ingress' || value === 'Egress'
        ? words[value]
        : wrong(item, 'Ingress, Egress')
    }),
  )
}

function readRule(field: Field, direction: Direction): NetworkPolicyRule {
  const { path } = field
  const peersKey = direction === 'ingress' ? 'from' : 'to'
  const nothing = { path, direction, isWhole: false }
  if (!isObject(field.value)) return wrong(field, 'an object; {} allows everything') ?? nothing
  const before = field.problems.length
  areKnown(field, [peersKey, 'ports'])
  const peers = allOf(itemsOf(child(field, peersKey)).map(readPeer))
  const ports = allOf(itemsOf(child(field, 'ports')).map(readPort))
  if (!peers || !ports || field.problems.length > before) return nothing
  return {
    path,
    direction,
    isWhole: true,
    ...(peers.length === 0 ? {} : { peers }),
    ...(ports.length === 0 ? {} : { ports }),
  }
}

function readPeer(field: Field): NetworkPolicyPeer | undefined {
  if (!isObject(field.value)) return wrong(field, 'an object')
  if (!areKnown(field, ['podSelector', 'namespaceSelector', 'ipBlock'])) return undefined
  const [pods, namespaces, block] = (['podSelector', 'namespaceSelector', 'ipBlock'] as const).map(
    (key) => child(field, key),
  )
  if (!pods || !namespaces || !block) return undefined
  const hasSelector = !isAbsent(pods) || !isAbsent(namespaces)
  if (!isAbsent(block))
    return hasSelector ? wrong(block, 'no ipBlock beside a selector') : readBlock(block)
  if (!hasSelector) return wrong(field, 'a podSelector, a namespaceSelector, both, or an ipBlock')
  const podSelector = isAbsent(pods) ? undefined : readLabelSelector(pods)
  const namespaceSelector = isAbsent(namespaces) ? undefined : readLabelSelector(namespaces)
  if (!isAbsent(pods) && !podSelector) return undefined
  if (!isAbsent(namespaces) && !namespaceSelector) return undefined
  return {
    kind: 'pods',
    ...(podSelector ? { podSelector } : {}),
    ...(namespaceSelector ? { namespaceSelector } : {}),
  }
}

function readBlock(field: Field): NetworkPolicyPeer | undefined {
  if (!areKnown(field, ['cidr', 'except'])) return undefined
  const cidr = readPrefix(child(field, 'cidr'))
  const except = allOf(
    itemsOf(child(field, 'except')).map((item) => cidr && readException(item, cidr)),
  )
  return cidr && except && { kind: 'block', cidr, except }
}

export function readPrefix(field: Field): Prefix | undefined {
  const prefix = typeof field.value === 'string' ? parseLenientPrefix(field.value) : undefined
  return prefix ?? wrong(field, 'a prefix as in "10.0.0.0/8" or "fd00::/8"')
}

/** Less than the whole that it is taken out of (P6). */
export function readException(field: Field, cidr: Prefix): Prefix | undefined {
  const prefix = readPrefix(field)
  if (!prefix) return undefined
  if (prefix.bits > cidr.bits && contains(cidr, prefix.address)) return prefix
  return wrong(field, 'a part of the cidr, with a longer prefix')
}

function readPort(field: Field): PolicyPort | undefined {
  if (!isObject(field.value)) return wrong(field, 'an object with protocol, port, endPort')
  if (!areKnown(field, ['protocol', 'port', 'endPort'])) return undefined
  const asked = child(field, 'protocol')
  const protocol = isAbsent(asked) ? 'TCP' : transports.find((one) => one === asked.value)
  if (protocol === undefined) return wrong(asked, transports.join(', '))
  const port = child(field, 'port')
  const end = child(field, 'endPort')
  const { value } = port
  if (!isAbsent(end) && !isPort(value)) return wrong(end, 'no endPort without a port number')
  if (isAbsent(port)) return { protocol, kind: 'all' }
  if (typeof value === 'string')
    return isPortName(value)
      ? { protocol, kind: 'name', name: value }
      : wrong(port, 'a number, or a name of at most 15 lower-case letters, digits and "-"')
  if (!isPort(value)) return wrong(port, 'a number from 1 to 65535, or the name of a port')
  if (isAbsent(end)) return { protocol, kind: 'range', first: value, last: value }
  if (!isPort(end.value) || end.value < value)
    return wrong(end, `a number from ${value} (the port) to 65535`)
  return { protocol, kind: 'range', first: value, last: end.value }
}
