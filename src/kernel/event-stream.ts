import { Reader } from '../base/bytes.ts'
import type { Native, WatchHandle } from './native.ts'
import { NETLINK_NETFILTER, NETLINK_ROUTE } from './netlink-socket.ts'
import { errno, KernelRefusal } from './refusal.ts'

// include/uapi/linux/rtnetlink.h (enum rtnetlink_groups), linux/netfilter/nfnetlink.h
export const routeGroups = {
  link: 1,
  neighbour: 3,
  address4: 5,
  route4: 7,
  address6: 9,
  route6: 11,
  settings4: 24,
  settings6: 25,
} as const
const NFNLGRP_NFTABLES = 7

/** One multicast message. `body` is valid during the call alone: the next one overwrites it. */
export type KernelNotice = {
  readonly protocol: 'route' | 'nftables'
  /** RTM_NEWROUTE …; of nf_tables: subsystem × 256 + NFT_MSG_…. */
  readonly type: number
  /** Whose doing it was (nl_pid of the socket); 0: the kernel's own, or nobody says. */
  readonly portId: number
  readonly body: Uint8Array
}

export type KernelWatchOptions = {
  readonly native: Native
  /** A descriptor of the namespace, or -1 for the process's own. */
  readonly netnsFd?: number
  readonly routeGroups: readonly (keyof typeof routeGroups)[]
  readonly nftables: boolean
  readonly onNotice: (notice: KernelNotice) => void
  /** The kernel had no room for some of it (ENOBUFS): everything may have changed. */
  readonly onLost: () => void
  /** Listening has ended by itself: a bug, or a kernel that is out of memory. */
  readonly onBroken: (refusal: KernelRefusal) => void
}

/**
 * Messages read in one turn of the event loop: 2 ms of work or so. What is left keeps the socket
 * readable, so that the next turn goes on.
 */
const noticesAtOnceMax = 2048
/** Notices are some hundred bytes; links with all their attributes, some thousand. */
const noticeBytesMax = 64 * 1024

export type KernelWatch = { readonly close: () => void }

/** Hears what others change in the kernel, from the time that this returns until `close`. */
export function watchKernel(options: KernelWatchOptions): KernelWatch {
  const groups = options.routeGroups.map((name) => routeGroups[name])
  const watches: SocketWatch[] = []
  const close = (): void => {
    for (const watch of watches) watch.close()
  }
  try {
    if (groups.length > 0) watches.push(new SocketWatch(options, 'route', groups))
    if (options.nftables) watches.push(new SocketWatch(options, 'nftables', [NFNLGRP_NFTABLES]))
  } catch (refusal) {
    close()
    throw refusal
  }
  return { close }
}

class SocketWatch {
  readonly #options: KernelWatchOptions
  readonly #protocol: KernelNotice['protocol']
  readonly #fd: number
  readonly #handle: WatchHandle
  readonly #buffer = Buffer.allocUnsafeSlow(noticeBytesMax)
  #closed = false

  constructor(
    options: KernelWatchOptions,
    protocol: KernelNotice['protocol'],
    groups: readonly number[],
  ) {
    const { native, netnsFd = -1 } = options
    const number = protocol === 'route' ? NETLINK_ROUTE : NETLINK_NETFILTER
    this.#options = options
    this.#protocol = protocol
    this.#fd = accepted(native.socketIn(netnsFd, number), `open a socket for ${protocol} events`)
    try {
      for (const group of groups)
        accepted(native.joinGroup(this.#fd, group), `hear ${protocol} events of group ${group}`)
      const handle = native.watch(this.#fd, () => this.#read())
      if (typeof handle === 'number') throw refusalOf(handle, `wait for ${protocol} events`)
      this.#handle = handle
    } catch (refusal) {
      native.close(this.#fd)
      throw refusal
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#options.native.unwatch(this.#handle)
    this.#options.native.close(this.#fd)
  }

  #read(): void {
    const { native, onLost, onBroken } = this.#options
    for (let count = 0; count < noticesAtOnceMax && !this.#closed; count++) {
      const length = native.receive(this.#fd, this.#buffer, 0)
      if (length === -errno.EAGAIN) break
      if (length === -errno.ENOBUFS || length > noticeBytesMax) onLost()
      else if (length < 0) {
        this.close()
        onBroken(refusalOf(length, `read ${this.#protocol} events`))
      } else this.#tell(this.#buffer.subarray(0, length))
    }
    if (!this.#closed) native.arm(this.#handle)
  }

  /** struct nlmsghdr (16 bytes: length, type, flags, sequence, nl_pid) and body, once or more. */
  #tell(datagram: Uint8Array): void {
    const reader = new Reader(datagram)
    while (reader.left >= 16 && !this.#closed) {
      const length = reader.u32()
      const type = reader.u16()
      reader.u16()
      reader.u32()
      const portId = reader.u32()
      const body = reader.bytes(length - 16)
      reader.bytes(Math.min(-length & 3, reader.left))
      this.#options.onNotice({ protocol: this.#protocol, type, portId, body })
    }
  }
}

function accepted(result: number, what: string): number {
  if (result < 0) throw refusalOf(result, what)
  return result
}

const refusalOf = (result: number, what: string): KernelRefusal =>
  new KernelRefusal({ what, errno: -result })
