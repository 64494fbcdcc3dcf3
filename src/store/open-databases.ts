import { statSync } from 'node:fs'
import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** A database with the statements that were prepared on it. */
export class OpenDatabase {
  readonly db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(db: DatabaseSync) {
    this.db = db
  }

  prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known) return known
    const statement = this.db.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }
}

/**
 * Databases that stay open between transactions, of a thread that comes again and again. What other
 * processes write meanwhile SQLite sees; a file that was replaced is opened anew.
 */
export class OpenDatabases {
  readonly #byPath = new Map<string, { readonly database: OpenDatabase; readonly file: string }>()

  /** The one that is open, if that is still the file of that name; the caller's until `keep`. */
  take(path: string): OpenDatabase | undefined {
    const known = this.#byPath.get(path)
    this.#byPath.delete(path)
    if (!known || fileAt(path) === known.file) return known?.database
    known.database.db.close()
    return undefined
  }

  closeAll(): void {
    for (const { database } of this.#byPath.values()) database.db.close()
    this.#byPath.clear()
  }

  keep(path: string, database: OpenDatabase): void {
    this.#byPath.set(path, { database, file: fileAt(path) })
  }
}

function fileAt(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return found ? `${found.dev} ${found.ino}` : 'none'
}
