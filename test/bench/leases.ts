import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { network } from './conf.ts'

/** Offset of the first address that is leased: .0 is the subnet, .1 its gateway. */
const firstOffset = 2

/**
 * Fills a store with leases in host-local's own layout (plugins/ipam/host-local/backend/disk): a
 * file per address that holds the container, CR LF and the interface, and the last address given.
 * The reference reads it as its own; Tulle adopts it at its first ADD.
 */
export function fillLeases(dataDir: string, count: number): void {
  if (count === 0) return
  const directory = join(dataDir, network)
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  for (let place = 0; place < count; place++)
    writeFileSync(join(directory, addressAt(place)), `filled-${place}\r\neth0`)
  writeFileSync(join(directory, 'last_reserved_ip.0'), addressAt(count - 1))
}

const addressAt = (place: number): string => {
  const offset = place + firstOffset
  return `10.88.${offset >> 8}.${offset & 255}`
}

/** Whether a result's first address is outside of the filled ones: the store has read them all. */
export function isBeyondFilled(result: string, count: number): boolean {
  const address = /"10\.88\.(\d+)\.(\d+)\//.exec(result)
  if (address === null) return false
  return Number(address[1]) * 256 + Number(address[2]) >= count + firstOffset
}
