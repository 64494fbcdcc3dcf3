import { existsSync, readdirSync } from 'node:fs'
import { isIP, SocketAddress } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export const storeFile = 'tulle.db'

/** Addresses leased in this directory: by our store, or by the reference host-local's files. */
export function leases(dataDir: string): readonly string[] {
  if (!existsSync(dataDir)) return []
  const networks = readdirSync(dataDir, { withFileTypes: true }).filter((one) => one.isDirectory())
  const files = networks.flatMap(({ name }) => readdirSync(join(dataDir, name)))
  return [...stored(join(dataDir, storeFile)), ...files.filter((name) => isIP(name) !== 0)]
}

function stored(file: string): readonly string[] {
  if (!existsSync(file)) return []
  // not read-only: what a killed commit has left must be rolled back before anybody reads
  const database = new DatabaseSync(file)
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE name = 'address'").all()
    if (tables.length === 0) return [] // made, and given up before its first commit
    const held = 'SELECT address FROM address WHERE container IS NOT NULL'
    return database
      .prepare(held)
      .all()
      .map((row) => addressOfKey(String(row.address)))
  } finally {
    database.close()
  }
}

/** The store's key of an address: its family's digit, then its value in hex. */
export function addressOfKey(key: string): string {
  const hex = key.slice(1)
  if (key.startsWith('4')) {
    return (hex.slice(-8).match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)).join('.')
  }
  const groups = (hex.match(/.{4}/g) ?? []).join(':')
  return new SocketAddress({ family: 'ipv6', address: groups }).address
}
