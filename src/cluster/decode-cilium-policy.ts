import {
  type CiliumPeer,
  type CiliumPolicy,
  type CiliumRule,
  type CiliumSpec,
  entities,
} from './cilium-policy.ts'
import { readException, readPrefix } from './decode-network-policy.ts'
import { readEndpointSelector } from './endpoint-selector.ts'
import {
  allOf,
  areKnown,
  child,
  type Decoded,
  type Field,
  isAbsent,
  itemsOf,
  refuse,
  rootField,
  wrong,
} from './field.ts'
import { isObject } from './json-value.ts'
import { readMetadata } from './metadata.ts'
import type { Direction } from './network-policy.ts'
import { readPolicyMode } from './policy-mode.ts'
import { isPort, isPortName, type PolicyPort, transports } from './policy-port.ts'

/**
 * Reads a CiliumNetworkPolicy. What is not about addresses and ports (L7, names, groups, nodes) is
 * refused where it stands: an allow rule gives less by it, and a deny rule is not whole.
 */
export function decodeCiliumPolicy(object: unknown): Decoded<CiliumPolicy> {
  const field = rootField(object)
  const metadata = readMetadata(field)
  const single = child(field, 'spec')
  const several = child(field, 'specs')
  const fields = [...(isAbsent(single) ? [] : [single]), ...itemsOf(several)]
  if (fields.length === 0) wrong(single, 'a spec, or a list of specs')
  const specs = fields.flatMap((spec) => readSpec(spec, metadata?.namespace) ?? [])
  const mode = readPolicyMode(child(field, 'metadata'))
  const { problems } = field
  if (!metadata) return { value: undefined, problems }
  const { namespace, name } = metadata
  return { value: { namespace, name, ...mode, specs }, problems }
}

const sections = [
  { key: 'ingress', direction: 'ingress', action: 'allow' },
  { key: 'ingressDeny', direction: 'ingress', action: 'deny' },
  { key: 'egress', direction: 'egress', action: 'allow' },
  { key: 'egressDeny', direction: 'egress', action: 'deny' },
] as const satisfies readonly { key: string; direction: Direction; action: 'allow' | 'deny' }[]

const specKeys = [
  ...['endpointSelector', 'enableDefaultDeny', 'description', 'labels', 'log'],
  ...sections.map(({ key }) => key),
]

function readSpec(field: Field, namespace: string | undefined): CiliumSpec | undefined {
  if (!isObject(field.value)) return wrong(field, 'an object')
  areKnown(field, specKeys)
  const endpoint = child(field, 'endpointSelector')
  const rules = sections.flatMap(({ key, direction, action }) =>
    itemsOf(child(field, key)).map((rule) => readRule(rule, { direction, action })),
  )
  const asked = child(field, 'enableDefaultDeny')
  if (!isAbsent(asked)) areKnown(asked, ['ingress', 'egress'])
  const isDenied = (direction: Direction): boolean =>
    readFlag(child(asked, direction)) ?? rules.some((rule) => rule.direction === direction)
  const isDefaultDeny = { ingress: isDenied('ingress'), egress: isDenied('egress') }
  if (!isAbsent(child(field, 'nodeSelector'))) return undefined // told of as unknown
  const selector = readEndpointSelector(endpoint)
  const endpointSelector = selector?.filter(({ of }) => of !== 'namespace-name')
  const places = selector?.filter(({ of }) => of === 'namespace-name') ?? []
  if (places.some(({ operator, values }) => operator !== 'In' || !values.includes(namespace ?? '')))
    refuse(endpoint, 'no namespace but its own, which is the one that counts')
  if (rules.length === 0)
    return refuse(child(field, 'ingress'), 'a rule: a policy without any does nothing')
  return endpointSelector && { path: field.path, endpointSelector, isDefaultDeny, rules }
}

function readFlag(field: Field): boolean | undefined {
  if (isAbsent(field)) return undefined
  return typeof field.value === 'boolean' ? field.value : wrong(field, 'true, false')
}

type Section = Pick<CiliumRule, 'direction' | 'action'>

function readRule(field: Field, section: Section): CiliumRule {
  const before = field.problems.length
  const rule = readParts(field, section.direction === 'ingress' ? 'from' : 'to')
  const isWhole = field.problems.length === before
  return { path: field.path, ...section, ...rule, isWhole }
}

/** Peers and ports are both to match; of the kinds of peers a rule has one. */
function readParts(field: Field, way: 'from' | 'to'): Pick<CiliumRule, 'peers' | 'ports'> {
  const nobody = { peers: [] }
  if (!isObject(field.value)) return wrong(field, 'an object') ?? nobody
  const kinds = [
    { key: `${way}Endpoints`, read: readEndpoints },
    { key: `${way}Entities`, read: readEntity },
    { key: `${way}CIDR`, read: readCidr },
    { key: `${way}CIDRSet`, read: readCidrSet },
  ]
  if (!areKnown(field, [...kinds.map(({ key }) => key), 'toPorts'])) return nobody
  const used = kinds.filter(({ key }) => !isAbsent(child(field, key)))
  const [kind, other] = used
  if (other) return refuse(child(field, other.key), `no ${other.key} beside ${kind?.key}`) ?? nobody
  const ports = readPorts(child(field, 'toPorts'))
  if (!kind) return ports ? { ports } : nobody
  const peers = itemsOf(child(field, kind.key)).flatMap((item) => kind.read(item) ?? [])
  return { peers, ...(ports ? { ports } : {}) }
}

function readEndpoints(field: Field): CiliumPeer | undefined {
  const selector = readEndpointSelector(field)
  return selector && { kind: 'endpoints', selector }
}

function readEntity(field: Field): CiliumPeer | undefined {
  const entity = entities.find((one) => one === field.value)
  return entity === undefined ? refuse(field, entities.join(', ')) : { kind: 'entity', entity }
}

function readCidr(field: Field): CiliumPeer | undefined {
  const cidr = readPrefix(field)
  return cidr && { kind: 'block', cidr, except: [] }
}

function readCidrSet(field: Field): CiliumPeer | undefined {
  if (!isObject(field.value)) return wrong(field, 'an object with cidr, except')
  if (!areKnown(field, ['cidr', 'except'])) return undefined
  const cidr = readPrefix(child(field, 'cidr'))
  const except = allOf(
    itemsOf(child(field, 'except')).map((item) => cidr && readException(item, cidr)),
  )
  return cidr && except && { kind: 'block', cidr, except }
}

/** Absent and empty: any port. */
function readPorts(field: Field): readonly PolicyPort[] | undefined {
  const items = itemsOf(field)
  if (isAbsent(field) || (Array.isArray(field.value) && items.length === 0)) return undefined
  return items.flatMap((item) => {
    if (!isObject(item.value)) return wrong(item, 'an object with ports') ?? []
    if (!areKnown(item, ['ports'])) return []
    const ports = itemsOf(child(item, 'ports'))
    if (ports.length === 0) return refuse(child(item, 'ports'), 'one port or more') ?? []
    return ports.flatMap(readPort)
  })
}

const unimplemented = ['ICMP', 'ICMPv6', 'VRRP', 'IGMP']

function readPort(field: Field): readonly PolicyPort[] {
  if (!isObject(field.value)) return wrong(field, 'an object with port, endPort, protocol') ?? []
  if (!areKnown(field, ['port', 'endPort', 'protocol'])) return []
  const asked = child(field, 'protocol')
  const isAny = isAbsent(asked) || asked.value === 'ANY'
  const protocols = isAny ? transports : transports.filter((one) => one === asked.value)
  if (protocols.length === 0) {
    const isCilium = unimplemented.some((one) => one === asked.value)
    const accepted = [...transports, 'ANY'].join(', ')
    return (isCilium ? refuse(asked, accepted) : wrong(asked, accepted)) ?? []
  }
  const which = readWhich(child(field, 'port'), child(field, 'endPort'))
  return which ? protocols.map((protocol) => ({ protocol, ...which })) : []
}

type Which =
  | { readonly kind: 'all' }
  | { readonly kind: 'range'; readonly first: number; readonly last: number }
  | { readonly kind: 'name'; readonly name: string }

/** Ports are texts: "0" for all of them, a number, or a name. */
function readWhich(port: Field, end: Field): Which | undefined {
  const { value } = port
  if (typeof value !== 'string') return wrong(port, 'a text, as in "5432"')
  const number = /^\d{1,5}$/.test(value) ? Number(value) : undefined
  const hasEnd = !isAbsent(end) && end.value !== 0
  if (hasEnd && !isPort(number)) return wrong(end, 'no endPort without a port number')
  if (number === 0) return { kind: 'all' }
  if (number === undefined)
    return isPortName(value)
      ? { kind: 'name', name: value }
      : wrong(port, '"0" to "65535", or the name of a port')
  if (!isPort(number)) return wrong(port, '"0" to "65535", or the name of a port')
  if (!hasEnd) return { kind: 'range', first: number, last: number }
  if (!isPort(end.value) || end.value < number)
    return wrong(end, `a number from ${number} (the port) to 65535`)
  return { kind: 'range', first: number, last: end.value }
}
