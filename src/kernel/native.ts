import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { getAsset, isSea } from 'node:sea'

/**
 * What native/tulle.c exports. Numbers below zero are -errno; `netnsFd` -1 means "the namespace of
 * this process".
 */
export type Native = {
  readonly socketIn: (netnsFd: number, protocol: number) => number
  readonly netnsCookie: (socketFd: number) => bigint | number
  readonly send: (fd: number, bytes: Uint8Array, length: number) => number
  readonly receive: (fd: number, bytes: Uint8Array, wait: 0 | 1) => number
  readonly close: (fd: number) => number
  readonly readIn: (netnsFd: number, path: string, into: Uint8Array) => number
  readonly writeIn: (netnsFd: number, path: string, text: string) => number
  readonly lock: (fd: number, how: number, limitMilliseconds: number) => number
  readonly exit: (code: number) => never
} & Spaces &
  Watching &
  Serving

declare const doorBrand: unique symbol
export type Door = { readonly [doorBrand]: true }

/** What the CNI worker waits with (native/serve.c, native/admit.c). */
type Serving = {
  /** Sets the options of a netlink socket that somebody else opened; -EPROTOTYPE: it is none. */
  readonly furnish: (socketFd: number, protocol: number) => number
  /** A listening SOCK_SEQPACKET socket of mode 0600. */
  readonly listenAt: (path: string) => number
  /** From any thread: nobody can connect any more. */
  readonly shutDown: (listeningFd: number) => number
  /**
   * Lets root's connections in on a thread of its own, and tells each `R` at once. Who came is told
   * through `fd`; all that are not hung up are when this thread of JavaScript ends.
   */
  readonly admit: (listeningFd: number) => { readonly fd: number; readonly door: Door } | number
  /** A connection; -EAGAIN: none waits; -EPIPE: nobody can come any more. */
  readonly nextAdmitted: (fd: number) => number
  readonly hangUp: (door: Door, fd: number) => number
  /** One packet; 0 at the end of all. `fds[0]` is how many descriptors came, `fds[1]` the first. */
  readonly receiveWith: (fd: number, bytes: Uint8Array, fds: Int32Array) => number
  /**
   * How many have something to tell, or have ended; `ready[n]` is 1 for those. Fractions of a
   * millisecond count. -EINTR: a signal came first.
   */
  readonly poll: (fds: Int32Array, ready: Uint8Array, milliseconds: number) => number
  /**
   * Sends a request to rtnetlink on a thread of its own, and answers a handle: some are done long
   * before the kernel says so. `sentLater` is 1 until it has.
   */
  readonly sendLater: (bytes: Uint8Array, length: number) => number
  readonly sentLater: (handle: number) => number
}

/** An open wait for a socket (native/watch.c). */
declare const watchBrand: unique symbol
export type WatchHandle = { readonly [watchBrand]: true }

/**
 * `watch` calls `onReadable` from the event loop, once; again after each `arm`. It keeps the
 * process alive until `unwatch`, which has ended its thread when it returns.
 */
type Watching = {
  readonly watch: (socketFd: number, onReadable: () => void) => WatchHandle | number
  readonly arm: (handle: WatchHandle) => number
  readonly unwatch: (handle: WatchHandle) => number
  readonly joinGroup: (socketFd: number, group: number) => number
  /** nl_pid of a netlink socket: > 2³¹ for all but a process's first. */
  readonly portId: (socketFd: number) => number
}

/**
 * unshare(2), setns(2), mount(2), umount2(2) with MNT_DETACH, for this thread: only for a process
 * that stays in its namespaces, as kernel/throw-away-node.ts does.
 */
type Spaces = {
  readonly unshare: (flags: number) => number
  readonly enterNamespace: (fd: number, flags: number) => number
  readonly mount: (source: string, target: string, type: string, flags: number) => number
  readonly unmount: (target: string) => number
}

/**
 * asm-generic/fcntl.h: __O_TMPFILE | O_DIRECTORY; a file without a name, gone with its last
 * descriptor.
 */
const O_TMPFILE = 0o20200000
const folders = ['/dev/shm', '/run', '/tmp', '/var/tmp', '/opt/cni/bin']

/**
 * Loads the native part: from the executable's asset through a file that never has a name, or, when
 * Node runs the sources, from the file that the build left beside the executable. Some of the
 * folders may be mounted noexec, so each is tried.
 */
export function loadNative(): Native {
  const holder: { exports: unknown } = { exports: {} }
  if (!isSea()) {
    process.dlopen(holder, new URL('../../dist/tulle.node', import.meta.url).pathname)
    return holder.exports as Native
  }
  const bytes = new Uint8Array(getAsset('tulle.node'))
  const refusals: string[] = []
  for (const folder of folders) {
    try {
      loadThrough(folder, bytes, holder)
      return holder.exports as Native
    } catch (refusal) {
      refusals.push(`${folder}: ${refusal instanceof Error ? refusal.message : String(refusal)}`)
    }
  }
  throw new Error(
    `Cannot load the native part through an unnamed file in any of ${folders.join(' ')} ` +
      `(${refusals.join('; ')}); one of them must be writable and not mounted noexec`,
  )
}

function loadThrough(folder: string, bytes: Uint8Array, holder: object): void {
  const fd = openSync(folder, O_TMPFILE | constants.O_RDWR, 0o700)
  try {
    writeSync(fd, bytes)
    process.dlopen(holder, `/proc/self/fd/${fd}`)
  } finally {
    closeSync(fd)
  }
}
