import fc from 'fast-check'
import { test } from 'tap'
import { type Address, formatAddress, parseAddress } from '../../src/base/address.ts'
import { allocate } from '../../src/ipam/allocate.ts'
import { listedAt, parseRanges, type RangeSet } from '../../src/ipam/ranges.ts'
import { holds } from '../base/law.ts'
import { MapLedger } from './map-ledger.ts'
import { PoolModel } from './pool-model.ts'

// An operator widens or moves the range while pods hold addresses of the old one, and host-local's
// files or a link's alias bring in addresses of no range at all.

type Act =
  | { readonly kind: 'range'; readonly from: number; readonly size: number }
  | { readonly kind: 'adopt'; readonly at: number; readonly who: string }
  | { readonly kind: 'lease' | 'release'; readonly who: string }

const who = fc.integer({ min: 1, max: 9 }).map((number) => `c${number}`)
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('range' as const),
      from: fc.integer({ min: 1, max: 10 }),
      size: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('adopt' as const), at: fc.nat(15), who }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('lease' as const), who }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), who }) },
)

const host = (number: number): string => `10.1.0.${number}`
const addressOf = (text: string): Address => parseAddress(text) ?? { family: 4, value: 0n }

function rangeOf(from: number, size: number): readonly RangeSet[] {
  const texts = { subnet: '10.1.0.0/28', gateway: host(15), rangeStart: host(from) }
  const parsed = parseRanges([[{ ...texts, rangeEnd: host(from + size - 1) }]], listedAt('ranges'))
  return 'sets' in parsed ? parsed.sets : []
}

/** A ledger under a configuration that changes, and who really holds what. */
class Node {
  readonly #ledger = new MapLedger()
  readonly #holders = new Map<string, string>()
  #sets = rangeOf(2, 4)

  do(one: Act): void {
    if (one.kind === 'range') this.#sets = rangeOf(one.from, one.size)
    else if (one.kind === 'adopt') this.#adopt(host(one.at), one.who)
    else if (one.kind === 'lease') this.#lease(one.who)
    else this.#release(one.who)
  }

  #adopt(text: string, container: string): void {
    if (this.#holders.has(text)) return
    this.#hold(container, [{ address: addressOf(text), pool: 'adopted' }])
  }

  #lease(container: string): void {
    const outcome = allocate(this.#sets, [], this.#ledger.book('net'))
    const free = new PoolModel(this.#sets).addresses.filter((text) => !this.#holders.has(text))
    if ('fault' in outcome) {
      if (free.length > 0) throw new Error(`full, and ${free.join(' ')} is free`)
      return
    }
    for (const { address } of outcome.leases)
      if (!free.includes(formatAddress(address)))
        throw new Error(`gave ${formatAddress(address)}; free is ${free.join(' ')}`)
    this.#hold(container, outcome.leases)
    this.#ledger.setCursors('net', outcome.cursors)
  }

  #hold(container: string, leases: readonly { address: Address; pool: string }[]): void {
    this.#ledger.hold({ network: 'net', container, ifname: 'eth0' }, leases)
    for (const { address } of leases) this.#holders.set(formatAddress(address), container)
  }

  #release(container: string): void {
    this.#ledger.release({ network: 'net', container, ifname: 'eth0' })
    for (const [text, holder] of this.#holders) if (holder === container) this.#holders.delete(text)
  }
}

test('ranges may change: a free address is found, a held one is not given', async (t) => {
  const property = fc.property(fc.array(act, { maxLength: 40, size: 'max' }), (acts) => {
    const node = new Node()
    for (const one of acts) node.do(one)
  })
  holds(t, property, 2000)
})
