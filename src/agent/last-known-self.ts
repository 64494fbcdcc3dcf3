import { type Address, sameAddress } from '../base/address.ts'
import type { Self, Underlay } from '../overlay/fabric.ts'

/**
 * Ways out that this node had, should have and has not: an address that is away for a moment must
 * not make its pods take another way than the one that all other nodes expect.
 */
export const lostUnderlays = (
  found: Self,
  last: Self | undefined,
  addresses: readonly Address[],
): readonly Underlay[] =>
  ([4, 6] as const).flatMap((family) => {
    const known = found.underlay[family] === undefined ? last?.underlay[family] : undefined
    return known && addresses.some((one) => sameAddress(one, known.address)) ? [known] : []
  })

export const withUnderlays = (found: Self, lost: readonly Underlay[]): Self => ({
  ...found,
  underlay: {
    ...found.underlay,
    ...Object.fromEntries(lost.map((one) => [one.address.family, one])),
  },
})

/** A node that has an address of a family, and no link with it. */
export const lacksFamily = (self: Self, addresses: readonly Address[]): boolean =>
  addresses.some(({ family }) => self.underlay[family] === undefined)

export const sameSelf = (left: Self, right: Self): boolean => textOf(left) === textOf(right)

/** Bigints as text. */
const textOf = (self: Self): string =>
  JSON.stringify(self, (_, one: unknown) => (typeof one === 'bigint' ? one.toString(16) : one))
