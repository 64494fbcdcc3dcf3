import { type Address, addressBits, type Family } from '../base/address.ts'
import type { Prefix } from '../base/prefix.ts'
import type { ClusterNode } from '../cluster/node.ts'
import { firstAddress } from './device.ts'
import type { TunnelNumbers } from './diagnosis.ts'
import type { Self } from './fabric.ts'
import type { Way } from './peer.ts'
import { type Path, pathOf } from './probe.ts'

// Who asks whom on the self-test's ways: made of what is known of the nodes.

/** One address on one way. */
export type ProbeEnd = { readonly path: Path; readonly address: Address }

export type PeerEnd = ProbeEnd & {
  /** The largest IP packet that is to pass. */
  readonly mtuBytes: number
  /** Of a way of pods: what carries it. */
  readonly pods?: { readonly mode: 'direct' | 'vxlan'; readonly over: Family }
}

export type ProbePeer = { readonly name: string; readonly ends: readonly PeerEnd[] }

export type ProbeView = {
  /** This node's. */
  readonly name: string
  readonly ends: readonly ProbeEnd[]
  /** Nodes that run Tulle. */
  readonly peers: readonly ProbePeer[]
  readonly numbers: TunnelNumbers
}

const families = [4, 6] as const

/** This node's addresses, and the first of its podCIDRs, which its tunnel devices carry. */
export const selfEnds = (self: Self): readonly ProbeEnd[] =>
  families.flatMap((family) => {
    const node = self.underlay[family]?.address
    const pods = firstOf(self.podCIDRs, family)
    return [
      ...(node ? [{ path: pathOf('node', family), address: node }] : []),
      ...(pods ? [{ path: pathOf('pods', family), address: pods }] : []),
    ]
  })

/**
 * The other node's addresses on the ways that this node has too. `podMtuBytes`: what pods send at
 * most, on any way.
 */
export function peerOf(
  { name, addresses }: ClusterNode,
  { self, ways, podMtuBytes }: { self: Self; ways: readonly Way[]; podMtuBytes: number },
): ProbePeer {
  const node = families.flatMap((family): readonly PeerEnd[] => {
    const address = addresses.find((one) => one.family === family)
    const own = self.underlay[family]
    return address && own ? [{ path: pathOf('node', family), address, mtuBytes: own.mtuBytes }] : []
  })
  const pods = families.flatMap((family): readonly PeerEnd[] => {
    const way = ways.find(({ podCIDR }) => podCIDR.address.family === family)
    const address = way && firstOf([way.podCIDR], family)
    if (!way || !address || !firstOf(self.podCIDRs, family)) return []
    const { mode, over } = way
    const path = pathOf('pods', family)
    return [{ path, address, mtuBytes: podMtuBytes, pods: { mode, over } }]
  })
  return { name, ends: [...node, ...pods] }
}

/** A podCIDR of a single address has none to spare. */
const firstOf = (prefixes: readonly Prefix[], family: Family): Address | undefined => {
  const prefix = prefixes.find(({ address }) => address.family === family)
  return prefix && prefix.bits < addressBits(family) ? firstAddress(prefix) : undefined
}
