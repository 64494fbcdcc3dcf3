import { formatPrefix, overlaps, type Prefix, samePrefix } from '../base/prefix.ts'

export type AddressPlan =
  | { readonly add: readonly Prefix[]; readonly remove: readonly Prefix[] }
  | { readonly conflict: string }

/**
 * What an existing bridge's addresses need. The reference bridge plugin's rule: one IPv4 address,
 * any number of IPv6 ones that don't overlap; another one in the way is replaced only if
 * `forceAddress` says so.
 */
export function planBridgeAddresses(
  wanted: readonly Prefix[],
  observed: readonly Prefix[],
  inTheWay: 'refuse' | 'replace',
): AddressPlan {
  const remove = observed.filter((there) => wanted.some((wish) => isInTheWay(there, wish, wanted)))
  const first = remove[0]
  if (first && inTheWay === 'refuse') return { conflict: formatPrefix(first) }
  const add = wanted.filter((wish) => !observed.some((there) => samePrefix(there, wish)))
  return { add, remove }
}

function isInTheWay(there: Prefix, wish: Prefix, wanted: readonly Prefix[]): boolean {
  if (there.address.family !== wish.address.family) return false
  if (wanted.some((other) => samePrefix(other, there))) return false
  return there.address.family === 4 || overlaps(there, wish)
}
