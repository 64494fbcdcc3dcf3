import { existsSync, readdirSync } from 'node:fs'
import type { Native } from './native.ts'
import { errno, KernelRefusal } from './refusal.ts'

/**
 * /proc/sys, or what stands for it: a container has that read-only, and may have the node's own
 * mounted elsewhere. What is below net/ is of the network namespace that asks, wherever it is
 * mounted.
 */
export const sysctlFolder = (): string => process.env.TULLE_PROC_SYS || '/proc/sys'

/** Files of /proc/sys as one network namespace sees them. */
export class Sysctls {
  readonly #native: Native
  readonly #netnsFd: number
  readonly #root = sysctlFolder()
  readonly #buffer = Buffer.alloc(256)

  /** @param netnsFd a descriptor of the namespace, or -1 for the process's own. */
  constructor(native: Native, netnsFd: number) {
    this.#native = native
    this.#netnsFd = netnsFd
  }

  /** The value without its newline; undefined where there is no such file. */
  read(path: string): string | undefined {
    const length = this.#native.readIn(this.#netnsFd, `${this.#root}/${path}`, this.#buffer)
    if (length === -errno.ENOENT) return undefined
    if (length < 0) throw new KernelRefusal({ what: `read ${this.#root}/${path}`, errno: -length })
    return this.#buffer.toString('utf8', 0, length).trim()
  }

  /** Writes unless it is so already; true if it was changed. */
  ensure(path: string, value: string): boolean {
    if (this.read(path) === value) return false
    this.write(path, value)
    return true
  }

  /** Whether there is such a file, readable or not. */
  has(path: string): boolean {
    const length = this.#native.readIn(this.#netnsFd, `${this.#root}/${path}`, this.#buffer)
    return length !== -errno.ENOENT
  }

  write(path: string, value: string): void {
    const written = this.#native.writeIn(this.#netnsFd, `${this.#root}/${path}`, value)
    if (written < 0)
      throw new KernelRefusal({
        what: `write ${JSON.stringify(value)} to ${this.#root}/${path}`,
        errno: -written,
      })
  }
}

/**
 * False on a kernel that was started with ipv6.disable=1: there is nothing to set, and no address
 * to give.
 */
export const hasIpv6 = (): boolean => existsSync(`${sysctlFolder()}/net/ipv6/conf`)

/**
 * Interfaces of the process's own namespace that listen to router advertisements as hosts do
 * (accept_ra 1). Switching forwarding on would cost them their default route, unless they are set
 * to 2 first.
 */
export function listeners(sysctls: Sysctls): readonly string[] {
  return readdirSync(`${sysctlFolder()}/net/ipv6/conf`).filter(
    (name) =>
      name !== 'all' &&
      name !== 'default' &&
      sysctls.read(`net/ipv6/conf/${name}/accept_ra`) === '1',
  )
}
