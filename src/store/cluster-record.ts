import type { Database } from './database.ts'

const keyPrefix = 'cluster '

/**
 * What is inside the cluster, as those who know have told: the agent, or a network with an overlay
 * of its own. Kept so that a table that is made anew is filled with it, whoever makes it.
 */
export class ClusterRecord {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  /** CIDR texts; in the place of what this owner told before. */
  put(owner: string, prefixes: readonly string[]): void {
    const value = JSON.stringify(prefixes)
    this.#db.run('insert or replace into meta values(?, ?)', keyPrefix + owner, value)
  }

  drop(owner: string): void {
    this.#db.run('delete from meta where key = ?', keyPrefix + owner)
  }

  /** Of one owner; undefined if it told nothing. */
  of(owner: string): readonly string[] | undefined {
    const row = this.#db.get('select value from meta where key = ?', keyPrefix + owner)
    return row && textsOf(row.value)
  }

  /** Of all. */
  all(): readonly string[] {
    return this.#db
      .all('select value from meta where substr(key, 1, ?) = ?', keyPrefix.length, keyPrefix)
      .flatMap(({ value }) => textsOf(value))
  }
}

const textsOf = (value: unknown): readonly string[] => JSON.parse(String(value)) as string[]
