import { type Address, addressKey, parseAddress } from '../base/address.ts'
import type { Book } from '../ipam/allocate.ts'
import type { Database } from './database.ts'

/** From `addressKey`: the family's digit, then the value in hex. */
export const addressOfKey = (key: string): Address => ({
  family: key.startsWith('4') ? 4 : 6,
  value: BigInt(`0x${key.slice(1)}`),
})

/** The pools' book of one network: each question is one look-up in an index. */
export function bookOf(db: Database, network: string): Book {
  return {
    holderOf: (address, pool) => {
      const row = db.get(
        'select container, pool from address where network = ? and address = ?',
        network,
        addressKey(address),
      )
      if (row === undefined) return undefined
      if (row.container !== null) return String(row.container)
      return row.pool === pool ? 'released' : undefined
    },
    cursorOf: (pool) => {
      const row = db.get('select next from cursor where network = ? and pool = ?', network, pool)
      return row && addressOfKey(String(row.next))
    },
    oldestReleased: (pool) => {
      const row = db.get(
        'select address, turn from address ' +
          'where network = ? and pool = ? and container is null order by turn limit 1',
        network,
        pool,
      )
      return row && { address: addressOfKey(String(row.address)), turn: Number(row.turn) }
    },
  }
}

/** One address that somebody holds. */
export type Lease = {
  readonly network: string
  readonly address: Address
  /** "first-last" of the range that it came from, or "adopted". */
  readonly pool: string
  readonly container: string
  /** Empty for leases that host-local kept before 0.8. */
  readonly ifname: string
}

/** Every address that is held, of all networks, in the order of networks and addresses. */
export const leasesOf = (db: Database): readonly Lease[] =>
  db
    .all('select * from address where container is not null order by network, address')
    .map((row) => ({
      network: String(row.network),
      address: addressOfKey(String(row.address)),
      pool: String(row.pool),
      container: String(row.container),
      ifname: String(row.ifname ?? ''),
    }))

/** `turn` of an address that was adopted: its true keeper is another program. */
export const adoptedTurn = -1

export type HeldAddress = {
  readonly address: Address
  readonly container: string
  readonly ifname: string
  readonly isAdopted: boolean
}

/** Every address of the network that somebody holds. */
export const heldOf = (db: Database, network: string): readonly HeldAddress[] =>
  db
    .all(
      'select address, container, ifname, turn from address ' +
        'where network = ? and container is not null',
      network,
    )
    .map(({ address, container, ifname, turn }) => ({
      address: addressOfKey(String(address)),
      container: String(container),
      ifname: String(ifname),
      isAdopted: turn === adoptedTurn,
    }))

/** A pool of more addresses is never used up, so what it gets back is not kept for reuse. */
const rememberedPoolMax = 1n << 24n

/** Addresses that belong to no pool (adopted ones) are free again once they are given back. */
export function isRemembered(pool: string): boolean {
  const [first, last] = pool.split('-').map((text) => parseAddress(text))
  return first !== undefined && last !== undefined && last.value - first.value < rememberedPoolMax
}
