import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { storeFile } from './leases.ts'

/** Works on the plugin's own store, behind its back. */
export function tamperWithStore<T>(dataDir: string, work: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(join(dataDir, storeFile))
  try {
    return work(database)
  } finally {
    database.close()
  }
}

/** Forgets who holds the addresses that match, as if they had never been leased. */
export const forgetLeases = (dataDir: string, family: '4' | '6' | ''): void =>
  tamperWithStore(dataDir, (database) => {
    database.prepare('DELETE FROM address WHERE address LIKE ?').run(`${family}%`)
  })

export const rowsOf = (dataDir: string, table: string): readonly Record<string, SQLInputValue>[] =>
  tamperWithStore(dataDir, (database) =>
    database.prepare(`SELECT * FROM ${table}`).all(),
  ) as Record<string, SQLInputValue>[]
