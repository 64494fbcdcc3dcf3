import type { Native } from '../kernel/native.ts'

/**
 * The native part, with a memory of the netlink sockets that were opened through it: what the
 * kernel tells of their doings is no news to us.
 */
export class OwnNative {
  readonly native: Native
  readonly #ports = new Map<number, number>()

  constructor(native: Native) {
    this.native = {
      ...native,
      socketIn: (netnsFd, protocol) => {
        const fd = native.socketIn(netnsFd, protocol)
        if (fd >= 0) this.#ports.set(fd, native.portId(fd))
        return fd
      },
      close: (fd) => {
        this.#ports.delete(fd)
        return native.close(fd)
      },
    }
  }

  isOwn(portId: number): boolean {
    for (const own of this.#ports.values()) if (own === portId) return true
    return false
  }
}
