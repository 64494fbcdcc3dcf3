import { type Address, addressBits, formatAddress, sameAddress } from '../base/address.ts'
import { listed } from '../base/listed.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import type { PolicyPort } from '../cluster/policy-port.ts'
import type { Service, ServicePort } from '../cluster/service.ts'
import { type Found, titleOf } from './finding.ts'
import type { RuleFound } from './lint-rules.ts'
import type { LintView } from './lint-view.ts'
import type { Peer, Policy, Rule } from './model.ts'
import { isSelectable } from './select.ts'

/** Pods that a Service selects and that policies can select. */
export function backendsOf({ namespace, selector }: Service, view: LintView): readonly Pod[] {
  if (!selector) return []
  const labels = [...selector]
  return view
    .podsIn(namespace)
    .filter(
      (pod) => isSelectable(pod) && labels.every(([key, value]) => pod.labels.get(key) === value),
    )
}

/**
 * Services that put a node's address in place of a client's (P27), in front of pods whose policies
 * tell clients by address.
 */
export const serviceFindings = (view: LintView): readonly Found[] =>
  (view.cluster.services ?? []).filter(isMasking).flatMap((service): readonly Found[] => {
    const asked = backendsOf(service, view).flatMap((pod) => {
      const rules = rulesByAddress(pod, service, view)
      return rules.length > 0 ? [{ pod, rules }] : []
    })
    if (asked.length === 0) return []
    const rules = [...new Set(asked.flatMap((one) => one.rules))]
    const pods = asked.map(({ pod }) => podKey(pod))
    const { namespace, name, type } = service
    return [
      {
        check: 'hidden-clients',
        object: `Service ${namespace}/${name}`,
        path: 'spec.externalTrafficPolicy',
        text:
          `is Cluster, as it is a ${type} without another word, and ${listed(rules)} ` +
          `${rules.length === 1 ? 'tells' : 'tell'} clients of ${listed(pods)} by address`,
        fix: {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { namespace, name },
          spec: { externalTrafficPolicy: 'Local' },
        },
      },
    ]
  })

/** A Service's address on egress (P28); a cache of names on the node has one of its own. */
export function addressFindings(rule: Rule, { cluster, dns }: LintView): readonly RuleFound[] {
  if (rule.direction !== 'egress' || rule.action !== 'allow') return []
  const { caches } = dns
  return rule.peers.flatMap((peer, index): readonly RuleFound[] => {
    if (peer.kind !== 'block' || peer.cidr.bits < addressBits(peer.cidr.address.family)) return []
    const { address } = peer.cidr
    const isIt = (one: Address): boolean => sameAddress(one, address)
    const service = cluster.services?.find(({ clusterAddresses }) => clusterAddresses.some(isIt))
    if (!service || caches.some(isIt)) return []
    const name = `Service ${service.namespace}/${service.name}`
    return [
      {
        check: 'service-address',
        text: `peer ${index} is ${formatAddress(address)}, the address of ${name}`,
      },
    ]
  })
}

const isMasking = ({ type, externalTrafficPolicy }: Service): boolean =>
  externalTrafficPolicy === 'Cluster' && (type === 'NodePort' || type === 'LoadBalancer')

function rulesByAddress(pod: Pod, service: Service, view: LintView): readonly string[] {
  const rules = view.policiesOf(pod).flatMap((policy) =>
    policy.rules
      .filter(({ direction }) => direction === 'ingress')
      .filter((rule) => service.ports.some((port) => isAbout(rule, port, pod)))
      .map((rule) => ({ policy, rule })),
  )
  // Where anybody is admitted no address matters, unless one is denied.
  const isForAll = ({ rule }: { readonly rule: Rule }): boolean =>
    rule.action === 'allow' && rule.peers.some(({ kind }) => kind === 'anybody')
  const isMoot = rules.some(isForAll)
  return rules
    .filter(({ rule }) => rule.peers.some(isTelling) && (rule.action === 'deny' || !isMoot))
    .map(({ policy, rule }) => nameOf(policy, rule))
}

const nameOf = (policy: Policy, { path }: Rule): string => `${titleOf(policy)} ${path}`

/** All addresses of a family are nobody's in particular, unless nodes are left out. */
const isTelling = (peer: Peer): boolean =>
  peer.kind === 'block' && (peer.cidr.bits > 0 || peer.except.length > 0 || peer.of === 'world')

const isAbout = ({ ports }: Rule, port: ServicePort, pod: Pod): boolean =>
  !ports || ports.some((one) => one.protocol === port.protocol && isTarget(one, port, pod))

function isTarget(asked: PolicyPort, { protocol, target }: ServicePort, { ports }: Pod): boolean {
  if (asked.kind === 'all') return true
  const numbers =
    typeof target === 'number'
      ? [target]
      : ports
          .filter((one) => one.protocol === protocol && one.name === target)
          .map(({ port }) => port)
  if (asked.kind === 'range')
    return numbers.some((number) => asked.first <= number && number <= asked.last)
  return (
    asked.name === target ||
    ports.some((one) => one.name === asked.name && numbers.includes(one.port))
  )
}
