import { formatAddress } from '../../src/base/address.ts'
import type { LeaseStore } from '../../src/store/lease-store.ts'

/** How many transactions of worker.ts a store holds; NaN if one of them is not there as a whole. */
export function numberOf(store: LeaseStore): number {
  const number = Number(store.meta('number') ?? 0)
  const wanted = Array.from({ length: number }, (_, at) => `c${at + 1}`).sort()
  const records = store.attachments().map(({ container }) => container)
  const held = store.holders('net').map((id) => ({
    container: id.container,
    addresses: store.heldBy(id).map(formatAddress),
  }))
  const lists = [records, held.map(({ container }) => container)]
  const isWhole =
    lists.every((list) => JSON.stringify(list.toSorted()) === JSON.stringify(wanted)) &&
    held.every(({ addresses }) => addresses.length === 2)
  return isWhole ? number : Number.NaN
}
