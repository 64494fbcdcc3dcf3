import { type Address, formatAddress, sameAddress } from '../../src/base/address.ts'
import type { AttachmentId } from '../../src/datapath/attachment.ts'
import type { Book } from '../../src/ipam/allocate.ts'
import type { LeaseStore } from '../../src/store/lease-store.ts'

/** What the lease store does for addresses: the part of it that a list can do as well. */
export type Ledger = Pick<
  LeaseStore,
  'book' | 'hold' | 'setCursors' | 'release' | 'releaseAll' | 'heldBy' | 'holders'
>

type Entry = {
  readonly network: string
  readonly address: Address
  readonly pool: string
  /** undefined: released. */
  readonly owner: { readonly container: string; readonly ifname: string } | undefined
  readonly turn: number
}

/** The same in memory, as plainly as can be: every question walks the whole list. */
export class MapLedger implements Ledger {
  #entries: readonly Entry[] = []
  #cursors: readonly { readonly network: string; readonly pool: string; readonly next: Address }[] =
    []
  #turn = 0

  book(network: string): Book {
    const own = () => this.#entries.filter((entry) => entry.network === network)
    return {
      holderOf: (address, pool) => {
        const entry = own().find((one) => sameAddress(one.address, address))
        if (entry === undefined) return undefined
        if (entry.owner) return entry.owner.container
        return entry.pool === pool ? 'released' : undefined
      },
      cursorOf: (pool) =>
        this.#cursors.find((one) => one.network === network && one.pool === pool)?.next,
      oldestReleased: (pool) =>
        own()
          .filter((entry) => entry.pool === pool && entry.owner === undefined)
          .sort((left, right) => left.turn - right.turn)[0],
    }
  }

  hold(
    { network, container, ifname }: AttachmentId,
    leases: readonly { readonly address: Address; readonly pool: string }[],
  ): void {
    for (const { address, pool } of leases) {
      const others = this.#entries.filter(
        (entry) => entry.network !== network || !sameAddress(entry.address, address),
      )
      this.#entries = [...others, { network, address, pool, owner: { container, ifname }, turn: 0 }]
    }
  }

  setCursors(
    network: string,
    cursors: readonly { readonly pool: string; readonly next: Address }[],
  ): void {
    for (const { pool, next } of cursors) {
      const others = this.#cursors.filter((one) => one.network !== network || one.pool !== pool)
      this.#cursors = [...others, { network, pool, next }]
    }
  }

  heldBy(id: AttachmentId): readonly Address[] {
    return this.#entries.filter((entry) => isHeldBy(entry, id)).map(({ address }) => address)
  }

  release(id: AttachmentId): void {
    this.#releaseWhere((entry) => isHeldBy(entry, id))
  }

  releaseAll(): void {
    this.#releaseWhere((entry) => entry.owner !== undefined)
  }

  holders(network: string): readonly AttachmentId[] {
    const found = new Map<string, AttachmentId>()
    for (const { network: own, owner } of this.#entries)
      if (own === network && owner)
        found.set(`${owner.container}/${owner.ifname}`, { network, ...owner })
    return [...found.values()]
  }

  #releaseWhere(isChosen: (entry: Entry) => boolean): void {
    if (!this.#entries.some(isChosen)) return
    this.#turn += 1
    this.#entries = this.#entries.flatMap((entry) => {
      if (!isChosen(entry)) return [entry]
      return isPool(entry.pool) ? [{ ...entry, owner: undefined, turn: this.#turn }] : []
    })
  }
}

/** What was adopted from elsewhere belongs to no pool, and waits in none: no first and last. */
const isPool = (name: string): boolean => name.includes('-')

/** A lease without an interface name (host-local before 0.8) answers to every interface. */
const isHeldBy = (entry: Entry, { network, container, ifname }: AttachmentId): boolean =>
  entry.network === network &&
  entry.owner?.container === container &&
  (entry.owner.ifname === ifname || entry.owner.ifname === '')

/** What a ledger says, in an order of its own: two ledgers that say the same are alike. */
export function pictureOf(
  ledger: Ledger,
  network: string,
  asked: { readonly addresses: readonly Address[]; readonly pools: readonly string[] },
): object {
  const book = ledger.book(network)
  const holders = ledger.holders(network)
  return {
    addresses: asked.addresses.map((address) =>
      asked.pools.map((pool) => [formatAddress(address), pool, book.holderOf(address, pool)]),
    ),
    pools: asked.pools.map((pool) => {
      const cursor = book.cursorOf(pool)
      // which of several that were released at once comes first is nobody's business
      return [pool, cursor && formatAddress(cursor), book.oldestReleased(pool)?.turn]
    }),
    holders: holders
      .map((id) => [id.container, id.ifname, ledger.heldBy(id).map(formatAddress).sort()])
      .sort((left, right) => (String(left) < String(right) ? -1 : 1)),
  }
}
