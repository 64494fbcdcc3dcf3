import type { Native } from '../../kernel/native.ts'

/**
 * Netlink sockets of the host's namespace, used again: opening one is little, but closing an
 * nf_tables socket after a deletion waits a grace period in the kernel. There are as many as there
 * were calls at once.
 */
export class SocketPool {
  readonly #native: Native
  readonly #idle = new Map<number, number[]>()
  readonly #scratch = new Uint8Array(64 * 1024)

  constructor(native: Native) {
    this.#native = native
  }

  /** A socket, or -errno. */
  take(protocol: number): number {
    return this.#idle.get(protocol)?.pop() ?? this.#native.socketIn(-1, protocol)
  }

  /** What nobody has read is thrown away: the next user counts its messages from one again. */
  giveBack(fd: number, protocol: number): void {
    while (this.#native.receive(fd, this.#scratch, 0) > 0);
    this.#idle.set(protocol, [...(this.#idle.get(protocol) ?? []), fd])
  }
}
