import { mergePrefixes } from '../base/merge-prefixes.ts'
import type { Prefix } from '../base/prefix.ts'
import type { ClusterNode } from '../cluster/node.ts'
import type { OverlayOptions } from './options.ts'

/**
 * Where pods' packets go with their own address: what the options say, or else every node's
 * podCIDRs. None overlaps another, halves of one network are that network, IPv4 first, ascending.
 */
export function clusterPrefixes(
  nodes: Iterable<ClusterNode>,
  options: OverlayOptions,
): readonly Prefix[] {
  if (options.clusterCIDRs) return mergePrefixes(options.clusterCIDRs)
  const all: Prefix[] = []
  for (const { podCIDRs } of nodes) all.push(...podCIDRs)
  return mergePrefixes(all)
}
