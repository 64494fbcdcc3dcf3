import { addressBits } from './address.ts'
import { comparePrefixes, contains, networkOf, type Prefix } from './prefix.ts'

/**
 * The same addresses in the fewest prefixes: none overlaps another, halves of one network are that
 * network; IPv4 first, ascending.
 */
export function mergePrefixes(prefixes: readonly Prefix[]): readonly Prefix[] {
  const merged: Prefix[] = []
  for (const prefix of prefixes.map(networkOf).sort(comparePrefixes)) {
    const last = merged.at(-1)
    // sorted by address, shorter ones first: only the last one can cover this one
    if (last && last.bits <= prefix.bits && contains(last, prefix.address)) continue
    merged.push(prefix)
    joinHalves(merged)
  }
  return merged
}

function joinHalves(merged: Prefix[]): void {
  for (;;) {
    const [left, right] = merged.slice(-2)
    if (!left || !right || left.bits !== right.bits || left.bits === 0) return
    const { address } = left
    const half = 1n << BigInt(addressBits(address.family) - left.bits)
    const isLower = (address.value & half) === 0n
    const isNext = right.address.family === address.family
    if (!isNext || !isLower || right.address.value !== address.value + half) return
    merged.splice(-2, 2, { address, bits: left.bits - 1 })
  }
}
