import { contains, overlaps, type Prefix } from '../base/prefix.ts'
import type { EndpointRequirement, EndpointSelector } from '../cluster/endpoint-selector.ts'
import { namespaceNameLabel } from '../cluster/namespace.ts'
import type { PolicyPort } from '../cluster/policy-port.ts'
import type { Peer, Rule } from './model.ts'

// Whether one thing means all that another one means, told from their words alone: "no" may be
// wrong, "yes" never is.

/** Peers and ports; whose rules they are, and what they do, is not asked. */
export const coversRule = (wide: Rule, narrow: Rule): boolean =>
  narrow.peers.every((peer) => wide.peers.some((one) => coversPeer(one, peer))) &&
  coversPorts(wide.ports, narrow.ports)

export const coversSelector = (wide: EndpointSelector, narrow: EndpointSelector): boolean =>
  wide.every((one) => narrow.some((other) => follows(normal(one), normal(other))))

/** A namespace's name is a label of it, too (P17). */
const normal = (requirement: EndpointRequirement): EndpointRequirement =>
  requirement.of === 'namespace' && requirement.key === namespaceNameLabel
    ? { ...requirement, of: 'namespace-name', key: '' }
    : requirement

/** Whether the first holds wherever the second does. */
function follows(one: EndpointRequirement, from: EndpointRequirement): boolean {
  if (one.of !== from.of || one.key !== from.key) return false
  const isWithin = (inner: readonly string[], outer: readonly string[]): boolean =>
    inner.every((value) => outer.includes(value))
  switch (one.operator) {
    case 'Exists':
      return from.operator === 'Exists' || from.operator === 'In'
    case 'DoesNotExist':
      return from.operator === 'DoesNotExist'
    case 'In':
      return from.operator === 'In' && isWithin(from.values, one.values)
    case 'NotIn':
      if (from.operator === 'DoesNotExist') return true
      if (from.operator === 'NotIn') return isWithin(one.values, from.values)
      return from.operator === 'In' && !from.values.some((value) => one.values.includes(value))
  }
}

function coversPeer(wide: Peer, narrow: Peer): boolean {
  if (wide.kind === 'anybody') return true
  if (wide.kind === 'pods' && narrow.kind === 'pods')
    return coversSelector(wide.selector, narrow.selector)
  if (wide.kind === 'block' && narrow.kind === 'block') {
    if (wide.of === 'world' && narrow.of === 'anybody') return false
    const isKept = (part: Prefix): boolean =>
      !overlaps(part, narrow.cidr) || narrow.except.some((one) => isInside(part, one))
    return isInside(narrow.cidr, wide.cidr) && wide.except.every(isKept)
  }
  return wide.kind === narrow.kind
}

const isInside = (inner: Prefix, outer: Prefix): boolean =>
  outer.bits <= inner.bits && contains(outer, inner.address)

function coversPorts(
  wide: readonly PolicyPort[] | undefined,
  narrow: readonly PolicyPort[] | undefined,
): boolean {
  if (!wide) return true
  return narrow?.every((port) => wide.some((one) => coversPort(one, port))) === true
}

function coversPort(wide: PolicyPort, narrow: PolicyPort): boolean {
  if (wide.protocol !== narrow.protocol) return false
  if (wide.kind === 'all') return true
  if (wide.kind === 'name') return narrow.kind === 'name' && narrow.name === wide.name
  return narrow.kind === 'range' && wide.first <= narrow.first && narrow.last <= wide.last
}
