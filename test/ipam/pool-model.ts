import { formatAddress, offsetAddress } from '../../src/base/address.ts'
import type { Range, RangeSet } from '../../src/ipam/ranges.ts'

/** What should happen, said for people: addresses as text. */
export type Predicted =
  | { readonly leased: readonly string[] }
  | { readonly refused: 'pool-full' | 'address-taken' | 'address-is-gateway' | 'address-outside' }

/**
 * Who should get which address, from the promise alone: one of each set; never-used ones first, in
 * order; then the one that was released longest ago. It lists every address and knows no cursor.
 */
export class PoolModel {
  readonly #sets: readonly (readonly string[])[]
  readonly #gateways: ReadonlySet<string>
  readonly #used = new Set<string>()
  readonly #holders = new Map<string, string>()
  /** Longest ago first. */
  #released: readonly string[] = []

  constructor(sets: readonly RangeSet[]) {
    this.#sets = sets.map((set) => set.flatMap(addressesOf))
    this.#gateways = new Set(
      sets.flat().flatMap(({ gateway }) => (gateway ? [formatAddress(gateway)] : [])),
    )
  }

  get addresses(): readonly string[] {
    return this.#sets.flat()
  }

  get held(): readonly string[] {
    return [...this.#holders.keys()]
  }

  holdsAny(id: string): boolean {
    return [...this.#holders.values()].includes(id)
  }

  isGateway(address: string): boolean {
    return this.#gateways.has(address)
  }

  lease(id: string, requested: readonly string[]): Predicted {
    const leased: string[] = []
    let open = requested
    for (const set of this.#sets) {
      const asked = open.find((address) => set.includes(address))
      const found = asked === undefined ? this.#next(set) : this.#asked(asked)
      if (typeof found !== 'string') return found
      open = open.filter((address) => address !== asked)
      leased.push(found)
    }
    if (open.length > 0) return { refused: 'address-outside' }
    for (const address of leased) {
      this.#used.add(address)
      this.#holders.set(address, id)
      this.#released = this.#released.filter((other) => other !== address)
    }
    return { leased }
  }

  release(id: string): void {
    const own = [...this.#holders].filter(([, holder]) => holder === id)
    for (const [address] of own) this.#holders.delete(address)
    this.#released = [...this.#released, ...own.map(([address]) => address)]
  }

  #asked(address: string): string | Predicted {
    if (this.#gateways.has(address)) return { refused: 'address-is-gateway' }
    return this.#holders.has(address) ? { refused: 'address-taken' } : address
  }

  #next(set: readonly string[]): string | Predicted {
    const isFree = (address: string): boolean => !this.#gateways.has(address)
    const unused = set.find((address) => isFree(address) && !this.#used.has(address))
    const old = this.#released.find((address) => set.includes(address))
    return unused ?? old ?? { refused: 'pool-full' }
  }
}

function addressesOf({ first, last }: Range): readonly string[] {
  const count = Number(last.value - first.value) + 1
  return Array.from({ length: count }, (_, at) => formatAddress(offsetAddress(first, BigInt(at))))
}
