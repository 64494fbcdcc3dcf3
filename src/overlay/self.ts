import { type Address, type Family, formatAddress, sameAddress } from '../base/address.ts'
import { formatPrefix, networkOf, type Prefix } from '../base/prefix.ts'
import type { ClusterNode } from '../cluster/node.ts'
import { deviceNames } from './device.ts'
import type { Self, Underlay } from './fabric.ts'

/** A link of the host, as far as the way to other nodes depends on it. */
export type HostLink = {
  readonly name: string
  readonly mtuBytes: number
  readonly isUp: boolean
  /** As they stand on the link, host bits and all. */
  readonly addresses: readonly Prefix[]
  /** Networks on the link that no address tells of: routes that a router announced. */
  readonly announced?: readonly Prefix[]
}

export type HostView = { readonly links: readonly HostLink[] }

export type Problem = { readonly problem: string }

/** Where this node is in the cluster; a problem if no link of the host has one of its addresses. */
export function selfOf(node: ClusterNode, host: HostView): Self | Problem {
  const links = host.links.filter(({ name }) => !Object.values(deviceNames).includes(name))
  const underlay: { 4?: Underlay; 6?: Underlay } = {}
  for (const family of [4, 6] as const) {
    const found = underlayOf(node.addresses, links, family)
    if (found) underlay[family] = found
  }
  if (underlay[4] || underlay[6]) {
    const { name, podCIDRs, mode } = node
    return { name, podCIDRs: podCIDRs.map(networkOf), underlay, ...(mode ? { mode } : {}) }
  }
  const wanted = node.addresses.map(formatAddress).join(', ') || 'none'
  return {
    problem:
      `Cannot find this node's way out: none of the addresses of node ${node.name} (${wanted}) ` +
      `is on a link of this host that is up (${seen(links)}); correct the node's addresses, or ` +
      'its name',
  }
}

function underlayOf(
  addresses: readonly Address[],
  links: readonly HostLink[],
  family: Family,
): Underlay | undefined {
  for (const address of addresses) {
    if (address.family !== family) continue
    const link = links.find((one) => one.isUp && has(one, address))
    if (link) return link.name === 'lo' ? onLoopback(address, links) : onLink(address, link)
  }
  return undefined
}

const has = ({ addresses }: HostLink, address: Address): boolean =>
  addresses.some((prefix) => sameAddress(prefix.address, address))

function onLink(address: Address, link: HostLink): Underlay {
  const networks = [...link.addresses, ...(link.announced ?? [])].filter(
    (prefix) => prefix.address.family === address.family && prefix.bits > 0,
  )
  const { name, mtuBytes } = link
  return { address, link: name, mtuBytes, onLink: networks.map(networkOf) }
}

/** An address that routers lead to: every link may be the way out, and nobody is on its link. */
function onLoopback(address: Address, links: readonly HostLink[]): Underlay {
  const ways = links.filter(
    (one) =>
      one.isUp &&
      one.name !== 'lo' &&
      one.addresses.some((prefix) => prefix.address.family === address.family),
  )
  const mtuBytes = Math.min(1500, ...ways.map((one) => one.mtuBytes))
  return { address, link: 'lo', mtuBytes, onLink: [] }
}

const seen = (links: readonly HostLink[]): string =>
  links
    .filter(({ isUp, name }) => isUp && name !== 'lo')
    .flatMap(({ name, addresses }) => addresses.map((one) => `${formatPrefix(one)} on ${name}`))
    .slice(0, 8)
    .join(', ') || 'no address'
