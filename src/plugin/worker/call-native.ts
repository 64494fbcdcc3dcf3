import { fstatSync, readSync, writeSync } from 'node:fs'
import type { Native } from '../../kernel/native.ts'
import { NETLINK_ROUTE } from '../../kernel/netlink-socket.ts'
import { errno } from '../../kernel/refusal.ts'
import { sysctlFolder } from '../../kernel/sysctl.ts'
import type { Launcher } from './launcher.ts'
import type { SocketPool } from './socket-pool.ts'

/** What came with a request. */
export type Given = {
  readonly launcher: Launcher
  /** CNI_NETNS, and a NETLINK_ROUTE socket in it. */
  readonly netnsFd: number | undefined
  readonly podSocket: number | undefined
}

/**
 * The native part for one call: sockets of the host come from the pool, what is the pod's from the
 * launcher, and all that the call leaves open is given back by `end`.
 */
export class CallNative {
  readonly native: Native
  readonly #given: Given
  readonly #pool: SocketPool
  readonly #ofHost = new Map<number, number>()
  readonly #ofPod = new Set<number>()
  #podSocket: number | undefined
  readonly #base: Native

  constructor(base: Native, pool: SocketPool, given: Given) {
    this.#base = base
    this.#pool = pool
    this.#given = given
    this.#podSocket = given.podSocket
    this.native = {
      ...base,
      socketIn: (netnsFd, protocol) =>
        this.#isPod(netnsFd) ? this.#openOfPod(protocol) : this.#openOfHost(protocol),
      close: (fd) => this.#close(fd),
      readIn: (netnsFd, path, into) =>
        this.#isPod(netnsFd)
          ? this.#withFile(path, 'r', (fd) => readSync(fd, into))
          : base.readIn(netnsFd, path, into),
      writeIn: (netnsFd, path, text) =>
        this.#isPod(netnsFd)
          ? this.#withFile(path, 'w', (fd) => writeSync(fd, text))
          : base.writeIn(netnsFd, path, text),
    }
  }

  end(): void {
    for (const fd of [...this.#ofHost.keys(), ...this.#ofPod]) this.#close(fd)
    if (this.#podSocket !== undefined) this.#base.close(this.#podSocket)
    this.#podSocket = undefined
  }

  #isPod(netnsFd: number): boolean {
    if (netnsFd < 0) return false
    if (netnsFd === this.#given.netnsFd) return true
    throw new Error(`Cannot enter a namespace: ${netnsFd} is not this call's`)
  }

  #openOfHost(protocol: number): number {
    const fd = this.#pool.take(protocol)
    if (fd >= 0) this.#ofHost.set(fd, protocol)
    return fd
  }

  #openOfPod(protocol: number): number {
    const isThere = protocol === NETLINK_ROUTE && this.#podSocket !== undefined
    const fd = isThere ? (this.#podSocket ?? -1) : this.#given.launcher.socket(protocol)
    if (isThere) this.#podSocket = undefined
    if (fd < 0) return fd
    const furnished = this.#base.furnish(fd, protocol)
    if (furnished < 0) {
      this.#base.close(fd)
      return furnished
    }
    this.#ofPod.add(fd)
    return fd
  }

  #close(fd: number): number {
    const protocol = this.#ofHost.get(fd)
    if (protocol === undefined) {
      this.#ofPod.delete(fd)
      return this.#base.close(fd)
    }
    this.#ofHost.delete(fd)
    this.#pool.giveBack(fd, protocol)
    return 0
  }

  #withFile(path: string, how: 'r' | 'w', use: (fd: number) => number): number {
    // The launcher is no container, whatever this process is.
    const ofLauncher = `/proc/sys${path.slice(sysctlFolder().length)}`
    const fd = this.#given.launcher.open(ofLauncher, how)
    if (fd < 0) return fd
    try {
      // What is no file of /proc could keep its reader waiting.
      return fstatSync(fd).isFile() ? use(fd) : -errno.EINVAL
    } catch (refusal) {
      return numberOf(refusal)
    } finally {
      this.#base.close(fd)
    }
  }
}

/** -errno, as the native part tells it. */
function numberOf(refusal: unknown): number {
  const { errno } = refusal as { errno?: unknown }
  if (typeof errno === 'number') return errno
  throw refusal
}
