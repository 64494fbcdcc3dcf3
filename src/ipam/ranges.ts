import {
  type Address,
  addressBits,
  formatAddress,
  offsetAddress,
  parseAddress,
  sameAddress,
} from '../base/address.ts'
import {
  boundsOf,
  contains,
  formatPrefix,
  isNetwork,
  networkOf,
  overlaps,
  type Prefix,
  parsePrefix,
} from '../base/prefix.ts'

/** One range of a pool: addresses first … last, the gateway never among them. */
export type Range = {
  readonly subnet: Prefix
  readonly first: Address
  readonly last: Address
  readonly gateway: Address | undefined
}

/** Alternatives for one address of a pod; all of one family. */
export type RangeSet = readonly Range[]

export type RangeText = {
  readonly subnet: string
  readonly rangeStart?: string
  readonly rangeEnd?: string
  readonly gateway?: string
}

/** What is wrong with a range: the key's path, the value, and what would be accepted. */
export type RangeFault = {
  readonly path: string
  readonly found: string
  readonly accepted: string
}

export type Ranges = { readonly sets: readonly RangeSet[] } | { readonly fault: RangeFault }

/**
 * host-local's rules: the subnet is given as its network address; the gateway is by default the
 * first address after it; a range goes by default from there to the last address that is not the
 * IPv4 broadcast. Unlike host-local, /31, /32, /127 and /128 are pools too (RFC 3021, RFC 6164):
 * every address of them, and no gateway unless one is given.
 */
export function parseRanges(
  sets: readonly (readonly RangeText[])[],
  pathOf: (set: number, range: number) => string,
): Ranges {
  const parsed: Range[][] = []
  for (const [at, texts] of sets.entries()) {
    const set: Range[] = []
    for (const [index, text] of texts.entries()) {
      const range = parseRange(text, pathOf(at, index))
      if ('path' in range) return { fault: range }
      const clash = refuseClash({ range, set, earlier: parsed, path: pathOf(at, index) })
      if (clash) return { fault: clash }
      set.push(range)
    }
    parsed.push(set)
  }
  return { sets: parsed }
}

function parseRange(text: RangeText, path: string): Range | RangeFault {
  const subnet = parsePrefix(text.subnet)
  if (!subnet || !isNetwork(subnet))
    return {
      path: `${path}.subnet`,
      found: text.subnet,
      accepted: subnet
        ? `the network's own address, ${formatPrefix(networkOf(subnet))}`
        : 'a network such as 10.244.1.0/24 or fd00:1::/64',
    }
  const bounds = defaultBounds(subnet)
  const first = bound(text.rangeStart, bounds.first)
  if (!first || !contains(subnet, first))
    return outside(`${path}.rangeStart`, text.rangeStart, subnet)
  const last = bound(text.rangeEnd, bounds.last)
  if (!last || !contains(subnet, last)) return outside(`${path}.rangeEnd`, text.rangeEnd, subnet)
  if (first.value > last.value)
    return {
      path: `${path}.rangeStart`,
      found: formatAddress(first),
      accepted: `an address up to rangeEnd, ${formatAddress(last)}`,
    }
  const gateway =
    text.gateway === undefined || text.gateway === '' ? bounds.gateway : parseAddress(text.gateway)
  if (text.gateway && (!gateway || gateway.family !== subnet.address.family))
    return {
      path: `${path}.gateway`,
      found: text.gateway,
      accepted: `an IPv${subnet.address.family} address`,
    }
  return { subnet, first, last, gateway }
}

const bound = (text: string | undefined, fallback: Address): Address | undefined =>
  text === undefined || text === '' ? fallback : parseAddress(text)

const outside = (path: string, found: string | undefined, subnet: Prefix): RangeFault => ({
  path,
  found: found ?? 'absent',
  accepted: `an address in ${formatPrefix(subnet)}`,
})

function defaultBounds(subnet: Prefix): {
  first: Address
  last: Address
  gateway: Address | undefined
} {
  const { first, last } = boundsOf(subnet)
  const spare = addressBits(subnet.address.family) - subnet.bits
  if (spare < 2) return { first, last, gateway: undefined }
  const next = offsetAddress(first, 1n)
  return {
    first: next,
    last: subnet.address.family === 4 ? offsetAddress(last, -1n) : last,
    gateway: next,
  }
}

type Clash = {
  readonly range: Range
  readonly set: readonly Range[]
  readonly earlier: readonly (readonly Range[])[]
  readonly path: string
}

function refuseClash({ range, set, earlier, path }: Clash): RangeFault | undefined {
  const found = formatPrefix(range.subnet)
  const sibling = set[0]
  if (sibling && sibling.subnet.address.family !== range.subnet.address.family)
    return { path: `${path}.subnet`, found, accepted: 'ranges of one family in one set' }
  const taken = [...set, ...earlier.flat()].find((other) => isShared(other, range))
  if (!taken) return undefined
  const accepted = `a range apart from ${formatPrefix(taken.subnet)}, which comes before it`
  return { path: `${path}.subnet`, found, accepted }
}

const isShared = (left: Range, right: Range): boolean =>
  overlaps(left.subnet, right.subnet) &&
  left.first.value <= right.last.value &&
  right.first.value <= left.last.value

export const isInRange = ({ first, last }: Range, address: Address): boolean =>
  address.family === first.family && address.value >= first.value && address.value <= last.value

export const isGateway = ({ gateway }: Range, address: Address): boolean =>
  gateway !== undefined && sameAddress(gateway, address)

/**
 * Names the pool that a range is: its cursor and its released addresses are kept under this name.
 */
export const poolName = ({ first, last }: Range): string =>
  `${formatAddress(first)}-${formatAddress(last)}`

/** Paths of ranges in one list: "ipam.ranges[0][1]". */
export const listedAt =
  (list: string) =>
  (set: number, range: number): string =>
    `${list}[${set}][${range}]`
