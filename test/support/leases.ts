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
  const held = 'SELECT address FROM address WHERE container IS NOT NULL'
  return selected(file, 'address', held).map(({ address }) => addressOfKey(String(address)))
}

/** What our store knows of containers besides their addresses: "extras pod-1 eth0". */
export const records = (dataDir: string): readonly string[] =>
  ['attachment', 'extras', 'host_port', 'delegate'].flatMap((table) =>
    selected(join(dataDir, storeFile), table, `SELECT container, ifname FROM ${table}`).map(
      ({ container, ifname }) => `${table} ${container} ${ifname}`,
    ),
  )

function selected(file: string, table: string, sql: string): readonly Record<string, unknown>[] {
  if (!existsSync(file)) return []
  // not read-only: what a killed commit has left must be rolled back before anybody reads
  const database = new DatabaseSync(file)
  try {
    const tables = database.prepare('SELECT name FROM sqlite_master WHERE name = ?').all(table)
    return tables.length === 0 ? [] : database.prepare(sql).all() // given up before a first commit
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
