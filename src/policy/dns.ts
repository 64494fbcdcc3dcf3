import { type Address, parseAddress, sameAddress } from '../base/address.ts'
import type { Labels } from '../cluster/metadata.ts'
import type { Pod } from '../cluster/pod.ts'
import { type Endpoint, endpointOf } from './endpoint.ts'
import type { Cluster } from './model.ts'

export const dnsPort = 53
export const dnsNamespace = 'kube-system'
/** The Service that kubelets tell pods of, whatever server is behind it. */
const dnsService = 'kube-dns'
const usualLabels: Labels = new Map([['k8s-app', 'kube-dns']])
/** Pods of NodeLocal DNSCache, which have the node's network. */
const cacheLabel = 'node-local-dns'
/** Where it listens, on every node: no pod's address, so selectors miss it. */
export const cacheAddress = '169.254.20.10'

/** Whom pods ask for names. */
export type Dns = {
  /** Of the servers' pods. */
  readonly labels: Labels
  /** Living ones, with an address; none where nothing tells of them. */
  readonly servers: readonly Pod[]
  /** Where pods ask, and no server is; the Service's addresses too, where nodes have a cache. */
  readonly caches: readonly Address[]
  /** Nodes are known to have a cache, so that pods ask that, and nobody else. */
  readonly isCached: boolean
}

export function dnsOf({ pods, services = [] }: Cluster): Dns {
  const near = pods.filter((pod) => pod.namespace === dnsNamespace && !pod.isDone)
  const service = services.find(
    ({ namespace, name }) => namespace === dnsNamespace && name === dnsService,
  )
  const labels = service?.selector ?? usualLabels
  const isServer = (pod: Pod): boolean =>
    [...labels].every(([key, value]) => pod.labels.get(key) === value)
  const isCached = near.some((pod) => pod.labels.get('k8s-app') === cacheLabel)
  const cache = parseAddress(cacheAddress)
  return {
    labels,
    servers: near.filter((pod) => pod.addresses.length > 0 && isServer(pod)),
    // The cache has the Service's addresses too, so that kube-proxy never sees what pods ask.
    caches: [...(cache ? [cache] : []), ...(isCached ? (service?.clusterAddresses ?? []) : [])],
    isCached,
  }
}

/** Servers as a pod of that family asks them; one as they always are, where none is known. */
export function serverEnds({ servers, labels }: Dns, family: Address['family']): Endpoint[] {
  if (servers.length === 0) return [usualServer(family, labels)]
  return servers.flatMap((pod) =>
    pod.addresses.filter((one) => one.family === family).map((one) => endpointOf(pod, one)),
  )
}

/** The cache on the pod's own node. */
export const cacheEnds = ({ caches }: Dns, { family }: Address, { node }: Pod): Endpoint[] =>
  caches
    .filter((one) => one.family === family)
    .map((address) => ({ kind: 'node', address, ...(node === undefined ? {} : { node }) }))

/** Addresses that no selector means: caches, and servers with their node's network. */
export function bareAddresses({ servers, caches }: Dns): readonly Address[] {
  const onHosts = servers.filter(({ isHostNetwork }) => isHostNetwork)
  const all = [...caches, ...onHosts.flatMap(({ addresses }) => addresses)]
  return all.filter((one, index) => all.findIndex((other) => sameAddress(one, other)) === index)
}

function usualServer(family: Address['family'], labels: Labels): Endpoint {
  const address = { family, value: 0n }
  const pod: Pod = {
    namespace: dnsNamespace,
    name: 'coredns',
    labels,
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
