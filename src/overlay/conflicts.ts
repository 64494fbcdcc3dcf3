import { type Address, addressKey, formatAddress } from '../base/address.ts'
import { comparePrefixes, contains, formatPrefix, networkOf, type Prefix } from '../base/prefix.ts'
import { unreachable } from '../base/unreachable.ts'
import type { ClusterNode } from '../cluster/node.ts'

/** What can't be right, whichever node it is that is wrong. */
export type Conflict =
  /** Equal or overlapping networks of pods. */
  | {
      readonly kind: 'podCIDRs-overlap'
      readonly podCIDR: Prefix
      readonly node: string
      readonly other: Prefix
      readonly otherNode: string
    }
  | { readonly kind: 'address-twice'; readonly address: Address; readonly nodes: readonly string[] }
  /** Packets to that node would go where its address is taken for a pod's. */
  | {
      readonly kind: 'address-in-podCIDR'
      readonly address: Address
      readonly node: string
      readonly podCIDR: Prefix
      readonly owner: string
    }

type Owned = { readonly prefix: Prefix; readonly node: string }

/** All of them, in an order that does not depend on the nodes'. O(n log n). */
export function conflictsOf(nodes: readonly ClusterNode[]): readonly Conflict[] {
  const sorted = [...nodes].sort((left, right) => (left.name < right.name ? -1 : 1))
  const owned = sorted
    .flatMap(({ name, podCIDRs }) =>
      podCIDRs.map((podCIDR): Owned => ({ prefix: networkOf(podCIDR), node: name })),
    )
    .sort((left, right) => comparePrefixes(left.prefix, right.prefix))
  return [...overlapsIn(owned), ...addressesTwice(sorted), ...addressesInside(sorted, owned)]
}

/** What was found, and what to do. */
export function explainConflict(conflict: Conflict): string {
  switch (conflict.kind) {
    case 'podCIDRs-overlap': {
      const { podCIDR, node, other, otherNode } = conflict
      const [mine, theirs] = [formatPrefix(podCIDR), formatPrefix(other)]
      return (
        `podCIDR ${mine} of node ${node} overlaps ${theirs} of node ${otherNode}: pods of one of ` +
        'them are not reached; give one of the nodes another podCIDR'
      )
    }
    case 'address-twice':
      return (
        `Address ${formatAddress(conflict.address)} is that of several nodes ` +
        `(${conflict.nodes.join(', ')}): correct all but one`
      )
    case 'address-in-podCIDR': {
      const { address, node, podCIDR, owner } = conflict
      return (
        `Address ${formatAddress(address)} of node ${node} is inside podCIDR ` +
        `${formatPrefix(podCIDR)} of node ${owner}: that node's packets would be taken for a ` +
        "pod's; choose podCIDRs outside the nodes' networks"
      )
    }
    default:
      return unreachable(conflict)
  }
}

/** Sorted by place, each one's coverers are on the stack. */
function overlapsIn(owned: readonly Owned[]): readonly Conflict[] {
  const found: Conflict[] = []
  const open: Owned[] = []
  for (const one of owned) {
    for (let top = open.at(-1); top && !contains(top.prefix, one.prefix.address); top = open.at(-1))
      open.pop()
    const cover = open.at(-1)
    if (cover)
      found.push({
        kind: 'podCIDRs-overlap',
        podCIDR: cover.prefix,
        node: cover.node,
        other: one.prefix,
        otherNode: one.node,
      })
    open.push(one)
  }
  return found
}

function addressesTwice(nodes: readonly ClusterNode[]): readonly Conflict[] {
  const owners = new Map<string, { address: Address; nodes: string[] }>()
  for (const { name, addresses } of nodes)
    for (const address of addresses) {
      const key = addressKey(address)
      const known = owners.get(key)
      if (!known) owners.set(key, { address, nodes: [name] })
      else if (!known.nodes.includes(name)) known.nodes.push(name)
    }
  return [...owners.values()].flatMap((one): Conflict[] =>
    one.nodes.length > 1 ? [{ kind: 'address-twice', ...one }] : [],
  )
}

function addressesInside(
  nodes: readonly ClusterNode[],
  owned: readonly Owned[],
): readonly Conflict[] {
  return nodes.flatMap(({ name, addresses }) =>
    addresses.flatMap((address): Conflict[] => {
      const cover = coverOf(address, owned)
      if (!cover) return []
      const { prefix: podCIDR, node: owner } = cover
      return [{ kind: 'address-in-podCIDR', address, node: name, podCIDR, owner }]
    }),
  )
}

/**
 * By bisection: the last network that begins at or before the address. One that covers it from
 * further up overlaps that one, and is told of as such.
 */
function coverOf(address: Address, owned: readonly Owned[]): Owned | undefined {
  let [low, high] = [0, owned.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const one = owned[middle]
    if (one && startsAfter(one.prefix, address)) high = middle
    else low = middle + 1
  }
  const found = owned[low - 1]
  return found && contains(found.prefix, address) ? found : undefined
}

const startsAfter = ({ address: start }: Prefix, address: Address): boolean =>
  start.family === address.family ? start.value > address.value : start.family > address.family
