import { type Address, parseAddress } from '../base/address.ts'
import type { EndpointRequirement } from '../cluster/endpoint-selector.ts'
import type { JsonObject } from '../cluster/json-value.ts'
import { namespaceNameLabel } from '../cluster/namespace.ts'
import { type Pod, podKey } from '../cluster/pod.ts'
import { type Endpoint, endpointOf } from './endpoint.ts'
import type { Finding } from './lint.ts'
import type { Cluster, Policy } from './model.ts'
import { selects } from './select.ts'
import { isPassing, verdict } from './verdict.ts'

const dnsPort = 53
const dnsLabels = { 'k8s-app': 'kube-dns' }
/** Where NodeLocal DNSCache listens, on every node: no pod's address, so selectors miss it. */
const nodeLocalAddress = '169.254.20.10'

/** Pods that a policy closes for egress and that no rule lets ask for names. */
export function dnsFindings(policy: Policy, cluster: Cluster): readonly Finding[] {
  if (!policy.isolates.egress) return []
  const mute = cluster.pods
    .filter((pod) => selects(policy.subjects, pod, cluster))
    .filter((pod) => pod.addresses.length > 0 && !canResolve(pod, cluster))
    .map(podKey)
  if (mute.length === 0) return []
  const fix = fixOf(policy)
  return [
    {
      check: 'dns',
      object: `${policy.kind} ${policy.namespace}/${policy.name}`,
      path: policy.path,
      text: `closes egress of ${mute.join(', ')}, and no rule lets them reach DNS on port 53`,
      ...(fix ? { fix } : {}),
    },
  ]
}

function canResolve(pod: Pod, cluster: Cluster): boolean {
  return pod.addresses.some((address) => {
    const from: Endpoint = { kind: 'pod', pod, address }
    return resolversOf(cluster, address, pod).some((to) => {
      const { egress } = verdict(cluster, { from, to, protocol: 'UDP', port: dnsPort })
      return isPassing(egress)
    })
  })
}

/** The cluster's DNS pods, or one as they always are; and the cache on the pod's node. */
function resolversOf({ pods }: Cluster, { family }: Address, asking: Pod): readonly Endpoint[] {
  const isDns = ({ namespace, labels, isDone }: Pod): boolean =>
    !isDone && namespace === 'kube-system' && labels.get('k8s-app') === dnsLabels['k8s-app']
  const known = pods.filter(isDns).flatMap((pod) => {
    const address = pod.addresses.find((one) => one.family === family)
    return address ? [endpointOf(pod, address)] : []
  })
  const cache = parseAddress(nodeLocalAddress)
  const node = asking.node === undefined ? {} : { node: asking.node }
  return [
    ...(known.length > 0 ? known : [usualDns(family)]),
    ...(cache && cache.family === family
      ? [{ kind: 'node', address: cache, ...node } satisfies Endpoint]
      : []),
  ]
}

function usualDns(family: Address['family']): Endpoint {
  const address = { family, value: 0n }
  const pod: Pod = {
    namespace: 'kube-system',
    name: 'coredns',
    labels: new Map(Object.entries(dnsLabels)),
    addresses: [address],
    ports: [
      { protocol: 'UDP', port: dnsPort, name: 'dns' },
      { protocol: 'TCP', port: dnsPort, name: 'dns-tcp' },
    ],
    isHostNetwork: false,
    isDone: false,
    hostAddresses: [],
    serviceAccount: 'coredns',
  }
  return { kind: 'pod', pod, address }
}

/** For the same pods, so that it closes nobody else; a selector that only Cilium has, has none. */
function fixOf({ namespace, name, subjects }: Policy): JsonObject | undefined {
  const own = subjects.filter(({ of }) => of !== 'namespace-name')
  if (own.some(({ of }) => of !== 'pod')) return undefined
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace, name: `${name}-dns` },
    spec: {
      podSelector: own.length === 0 ? {} : { matchExpressions: own.map(expressionOf) },
      policyTypes: ['Egress'],
      egress: [
        {
          to: [
            {
              namespaceSelector: { matchLabels: { [namespaceNameLabel]: 'kube-system' } },
              podSelector: { matchLabels: dnsLabels },
            },
            { ipBlock: { cidr: `${nodeLocalAddress}/32` } },
          ],
          ports: [
            { protocol: 'UDP', port: dnsPort },
            { protocol: 'TCP', port: dnsPort },
          ],
        },
      ],
    },
  }
}

const expressionOf = ({ key, operator, values }: EndpointRequirement): JsonObject => ({
  key,
  operator,
  ...(values.length === 0 ? {} : { values }),
})
