import { addressBits, formatAddress } from '../base/address.ts'
import { listed } from '../base/listed.ts'
import type { EndpointRequirement } from '../cluster/endpoint-selector.ts'
import type { JsonObject } from '../cluster/json-value.ts'
import { namespaceNameLabel } from '../cluster/namespace.ts'
import type { Direction } from '../cluster/network-policy.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import { bareAddresses, cacheEnds, type Dns, dnsNamespace, dnsPort, serverEnds } from './dns.ts'
import type { Endpoint } from './endpoint.ts'
import { type Found, titleOf } from './finding.ts'
import type { LintView } from './lint-view.ts'
import type { Policy } from './model.ts'
import { isPassing, verdict } from './verdict.ts'

/** Pods that a policy closes, so that they can't ask for names, or not answer such questions. */
export const dnsFindings = (policy: Policy, view: LintView): readonly Found[] => [
  ...askersOf(policy, view.dns, view),
  ...answerersOf(policy, view.dns, view),
]

function askersOf(policy: Policy, dns: Dns, view: LintView): readonly Found[] {
  // Servers ask those of their node, outside.
  const subjects = closedFirstBy(policy, 'egress', view).filter((pod) => !dns.servers.includes(pod))
  const mute = subjects.filter((pod) => !isAnswered(pod, dns, view, 'UDP'))
  const short = subjects.filter((pod) => !mute.includes(pod) && !isAnswered(pod, dns, view, 'TCP'))
  const where = { check: 'dns', object: titleOf(policy), path: policy.path } as const
  const fixed = fixFor(policy, egressOf(dns))
  const whom = dns.isCached ? 'DNS (NodeLocal DNSCache, on every node)' : 'DNS'
  return [
    ...(mute.length === 0
      ? []
      : [
          {
            ...where,
            text: `closes egress of ${namesOf(mute)}, and no rule lets them reach ${whom}, port 53`,
            ...remedyFor(mute, 'egress', view, fixed),
          },
        ]),
    ...(short.length === 0
      ? []
      : [
          {
            ...where,
            text: `lets ${namesOf(short)} reach ${whom} on UDP 53, and not on TCP 53`,
            meaning: 'answers that are too long for one datagram never come',
            ...remedyFor(short, 'egress', view, fixed),
          },
        ]),
  ]
}

/** DNS servers that are closed for ingress, from whom they are to serve. */
function answerersOf(policy: Policy, dns: Dns, view: LintView): readonly Found[] {
  if (policy.namespace !== dnsNamespace) return []
  const closed = closedFirstBy(policy, 'ingress', view).filter((pod) => dns.servers.includes(pod))
  if (closed.length === 0) return []
  const refused = view.cluster.pods.filter(
    (pod) => !pod.isDone && !pod.isHostNetwork && closed.some((one) => isShutOut(pod, one, view)),
  )
  if (refused.length === 0) return []
  const ports = ['UDP', 'TCP'].map((protocol) => ({ protocol, port: dnsPort }))
  return [
    {
      check: 'dns',
      object: titleOf(policy),
      path: policy.path,
      text: `closes ingress of ${namesOf(closed)}, and no rule lets ${namesOf(refused)} ask them`,
      ...remedyFor(closed, 'ingress', view, fixFor(policy, { ingress: [{ ports }] })),
    },
  ]
}

const namesOf = (pods: readonly Pod[]): string => listed(pods.map(podKey))

/** Each pod is told of once, with the first of the policies that isolate it. */
const closedFirstBy = (policy: Policy, direction: Direction, view: LintView): readonly Pod[] =>
  policy.isolates[direction]
    ? view.subjectsOf(policy).filter((pod) => {
        const first = view.policiesOf(pod).find(({ isolates }) => isolates[direction])
        return first === policy && pod.addresses.length > 0
      })
    : []

function isAnswered(pod: Pod, dns: Dns, view: LintView, protocol: 'UDP' | 'TCP'): boolean {
  return pod.addresses.some((address) => {
    const from: Endpoint = { kind: 'pod', pod, address }
    const caches = cacheEnds(dns, address, pod)
    const isAlone = dns.isCached && caches.length > 0
    const asked = isAlone ? caches : [...serverEnds(dns, address.family), ...caches]
    return asked.some((to) =>
      isPassing(verdict(view.cluster, { from, to, protocol, port: dnsPort }).egress),
    )
  })
}

const isShutOut = (pod: Pod, server: Pod, { cluster }: LintView): boolean =>
  pod !== server &&
  pod.addresses.some((address) => {
    const to = server.addresses.find(({ family }) => family === address.family)
    if (!to) return false
    const { ingress } = verdict(cluster, {
      from: { kind: 'pod', pod, address },
      to: { kind: 'pod', pod: server, address: to },
      protocol: 'UDP',
      port: dnsPort,
    })
    return !isPassing(ingress)
  })

/** Where a deny stands, no further rule helps (any one that is about DNS' port). */
function remedyFor(
  pods: readonly Pod[],
  direction: Direction,
  view: LintView,
  fix: JsonObject | undefined,
): Pick<Found, 'fix' | 'remedy'> {
  const denies = pods
    .flatMap((pod) => view.policiesOf(pod))
    .flatMap((policy) =>
      policy.rules
        .filter((rule) => rule.action === 'deny' && rule.direction === direction)
        .map(({ path }) => `${titleOf(policy)} ${path}`),
    )
  const [deny] = denies
  if (deny !== undefined)
    return { remedy: `see whether ${deny} denies it, which no other rule undoes; else allow it` }
  return fix ? { fix } : { remedy: 'allow UDP and TCP 53 to the DNS pods of kube-system' }
}

function egressOf(dns: Dns): JsonObject {
  const servers = {
    namespaceSelector: { matchLabels: { [namespaceNameLabel]: dnsNamespace } },
    podSelector: { matchLabels: Object.fromEntries(dns.labels) },
  }
  const blocks = bareAddresses(dns).map((address) => ({
    ipBlock: { cidr: `${formatAddress(address)}/${addressBits(address.family)}` },
  }))
  const ports = ['UDP', 'TCP'].map((protocol) => ({ protocol, port: dnsPort }))
  return { egress: [{ to: [servers, ...blocks], ports }] }
}

/** For the same pods, so that it closes nobody else; a selector that only Cilium has, has none. */
function fixFor({ namespace, name, subjects }: Policy, rules: JsonObject): JsonObject | undefined {
  const own = subjects.filter(({ of }) => of !== 'namespace-name')
  if (own.some(({ of }) => of !== 'pod')) return undefined
  const [direction] = Object.keys(rules)
  const way = direction === 'egress' ? 'dns' : 'serves-dns'
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace, name: `${name.slice(0, 200)}-${way}` },
    spec: {
      podSelector: own.length === 0 ? {} : { matchExpressions: own.map(expressionOf) },
      policyTypes: [direction === 'egress' ? 'Egress' : 'Ingress'],
      ...rules,
    },
  }
}

const expressionOf = ({ key, operator, values }: EndpointRequirement): JsonObject => ({
  key,
  operator,
  ...(values.length === 0 ? {} : { values }),
})
