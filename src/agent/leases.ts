import { existsSync } from 'node:fs'
import { contains, formatPrefix, type Prefix } from '../base/prefix.ts'
import type { LeaseStatus } from '../serve/agent-status.ts'
import { type Lock, waitingAtMost } from '../store/database.ts'
import { LeaseStore } from '../store/lease-store.ts'
import { poolSize } from './conflist.ts'

/** ADDs go first: whoever only counts does not wait, and tells the count of before. */
const lockWaitMilliseconds = 20

/** Addresses that pods hold and that are left, as the store says; asked for by scrapes. */
export class Leases {
  readonly #dataDir: string
  readonly #lock: Lock
  #last: LeaseStatus = { used: 0, free: 0, ranges: [] }

  constructor(dataDir: string, lock: Lock) {
    this.#dataDir = dataDir
    this.#lock = lock
  }

  status(podCIDRs: readonly Prefix[]): LeaseStatus {
    try {
      this.#last = this.#count(podCIDRs)
    } catch {
      // Busy, or broken: the next ADD or DEL says so to those who can do something about it.
    }
    return this.#last
  }

  #count(podCIDRs: readonly Prefix[]): LeaseStatus {
    const held = existsSync(`${this.#dataDir}/tulle.db`) ? this.#held() : []
    const ranges = podCIDRs.map((subnet) => {
      const used = held.filter((address) => contains(subnet, address)).length
      const left = poolSize(subnet) - BigInt(used)
      const free = Number(left < BigInt(Number.MAX_SAFE_INTEGER) ? left : Number.MAX_SAFE_INTEGER)
      return { subnet: formatPrefix(subnet), used, free }
    })
    return {
      used: held.length,
      free: ranges.reduce((sum, { free }) => Math.min(Number.MAX_SAFE_INTEGER, sum + free), 0),
      ranges,
    }
  }

  #held() {
    return LeaseStore.use(this.#dataDir, waitingAtMost(this.#lock, lockWaitMilliseconds), (store) =>
      store.leases().map(({ address }) => address),
    )
  }
}
