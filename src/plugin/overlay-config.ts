import { type Address, formatAddress, parseAddress, sameAddress } from '../base/address.ts'
import { contains, formatPrefix, networkOf, type Prefix, parsePrefix } from '../base/prefix.ts'
import type { ClusterNode } from '../cluster/node.ts'
import { describe as show } from '../cni/config.ts'
import { code, fault } from '../cni/fault.ts'
import type { NetworkConfig, RangeConfig } from '../cni/network-config.ts'
import type { OverlayConfig, OverlayNodeConfig } from '../cni/overlay.ts'
import { clusterPrefixes } from '../overlay/cluster-prefixes.ts'
import { conflictsOf, explainConflict } from '../overlay/conflicts.ts'
import type { Self } from '../overlay/fabric.ts'
import { defaultOverlay, type OverlayOptions } from '../overlay/options.ts'
import { type HostView, selfOf } from '../overlay/self.ts'

// The key `overlay` as values: every fault names the key, what was found and what is accepted.

export type Overlay = {
  readonly options: OverlayOptions
  readonly self: Self
  readonly nodes: readonly ClusterNode[]
  /** What is never masqueraded. */
  readonly cluster: readonly Prefix[]
}

export function readOverlay(config: OverlayConfig, host: HostView): Overlay {
  const nodes = config.nodes.map(nodeOf)
  refuseTwins(nodes)
  const [conflict] = conflictsOf(nodes)
  if (conflict) throw odd('overlay.nodes', explainConflict(conflict))
  const options = optionsOf(config)
  const self = selfOf(ownNode(config, nodes, host), host)
  if ('problem' in self) throw fault(code.hostConflict, 'this node is not found', self.problem)
  return { options, self, nodes, cluster: clusterPrefixes(nodes, options) }
}

function optionsOf({ mode, vni, port, mtu }: OverlayConfig): OverlayOptions {
  return {
    mode: mode ?? defaultOverlay.mode,
    vni: vni ?? defaultOverlay.vni,
    port: port ?? defaultOverlay.port,
    ...(mtu === undefined ? {} : { mtuBytes: mtu }),
  }
}

function nodeOf({ name, mode, ...rest }: OverlayNodeConfig, at: number): ClusterNode {
  const path = `overlay.nodes[${at}]`
  const texts = [...(rest.address === undefined ? [] : [rest.address]), ...(rest.addresses ?? [])]
  if (texts.length === 0)
    throw odd(`${path}.address`, 'absent; accepted: an IP address such as "192.0.2.11"')
  const addresses = texts.map((text) => {
    const address = parseAddress(text)
    if (address) return address
    throw odd(`${path}.address`, `${show(text)}; accepted: an IP address such as "192.0.2.11"`)
  })
  const podCIDRs = rest.podCIDRs.map((text, place) => {
    const prefix = parsePrefix(text)
    if (prefix && prefix.bits > 0) return networkOf(prefix)
    const accepted = 'accepted: a network such as "10.244.1.0/24"'
    throw odd(`${path}.podCIDRs[${place}]`, `${show(text)}; ${accepted}`)
  })
  return { name, addresses, podCIDRs, ...(mode ? { mode } : {}) }
}

function refuseTwins(nodes: readonly ClusterNode[]): void {
  const names = new Set<string>()
  for (const { name } of nodes) {
    if (names.has(name)) throw odd('overlay.nodes', `two nodes are called ${show(name)}`)
    names.add(name)
  }
}

/** By its name, or by an address that this host has. */
function ownNode(
  { node }: OverlayConfig,
  nodes: readonly ClusterNode[],
  host: HostView,
): ClusterNode {
  if (node !== undefined) {
    const named = nodes.find(({ name }) => name === node)
    if (named) return named
    throw odd('overlay', `node is ${show(node)}; accepted: the name of one of its nodes`)
  }
  const own = nodes.filter(({ addresses }) => addresses.some((one) => isOn(host, one)))
  const [first] = own
  if (first && own.length === 1) return first
  const here = host.links.flatMap(({ name, addresses }) =>
    name === 'lo' ? [] : addresses.map(({ address }) => formatAddress(address)),
  )
  const has = `this host has ${here.slice(0, 8).join(', ') || 'none'}`
  throw odd(
    'overlay.nodes',
    own.length === 0
      ? `no node has an address of this host (${has}); list this host, or name its node`
      : `this host is in ${own.map(({ name }) => name).join(' and ')} (${has}); name its node`,
  )
}

const isOn = ({ links }: HostView, address: Address): boolean =>
  links.some(({ addresses }) => addresses.some((one) => sameAddress(one.address, address)))

const odd = (path: string, details: string): Error =>
  fault(code.invalidConfig, 'invalid network configuration', `${path}: ${details}`)

/**
 * The configuration with this node's podCIDRs as ranges, where it names none; refused where those
 * that it names are another node's.
 */
export function withRanges(config: NetworkConfig, { self }: Overlay): NetworkConfig {
  const { ipam, runtimeConfig } = config
  if (ipam?.type !== 'host-local') return config
  const given: readonly RangeConfig[] = [
    ...(runtimeConfig?.ipRanges ?? []).flat(),
    ...(ipam.ranges ?? []).flat(),
    ...(ipam.subnet ? [{ subnet: ipam.subnet }] : []),
  ]
  if (given.length === 0) {
    const ranges = self.podCIDRs.map((one) => [{ subnet: formatPrefix(one) }])
    return { ...config, ipam: { ...ipam, ranges } }
  }
  for (const { subnet } of given) {
    const prefix = parsePrefix(subnet)
    // one that is odd by itself is told of where ranges are read
    if (!prefix || self.podCIDRs.some((one) => covers(one, prefix))) continue
    const own = self.podCIDRs.map(formatPrefix).join(', ')
    throw odd(
      'ipam.ranges',
      `${subnet} is outside the podCIDRs of node ${self.name} (${own}); ` +
        'other nodes would not reach its pods',
    )
  }
  return config
}

const covers = (outer: Prefix, inner: Prefix): boolean =>
  outer.bits <= inner.bits && contains(outer, inner.address)
