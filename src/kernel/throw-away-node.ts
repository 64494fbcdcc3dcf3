import { closeSync, existsSync, mkdirSync, openSync, rmdirSync, writeFileSync } from 'node:fs'
import { type IfIndex, setLink } from '../wire/rtnl/link.ts'
import type { Native } from './native.ts'
import { KernelRefusal } from './refusal.ts'
import { RouteSocket } from './route-socket.ts'

// linux/sched.h, linux/mount.h
const CLONE_NEWNS = 0x00020000
const CLONE_NEWNET = 0x40000000
const MS_BIND = 4096
const MS_REC = 16384
const MS_PRIVATE = 1 << 18

/** Where plugins keep what outlives a call, by default; a tmpfs here keeps them off the machine. */
const coveredFolders = ['/run', '/var/lib/cni']

/** The first link of every network namespace. */
const loopback = 1 as IfIndex

/** The folder of namespaces, as `ip netns` has it; ours alone, behind the tmpfs. */
const netnsFolder = '/run/netns'

export type ThrowAwayPod = {
  readonly name: string
  readonly path: string
  readonly netnsFd: number
  readonly socket: RouteSocket
  readonly isThere: () => boolean
  /** Unmounts and closes the namespace, which ends it; may be called twice. */
  readonly close: () => void
}

/**
 * A node for programs that nobody trusts: this thread moves into network and mount namespaces of
 * its own, and every program that it starts works there. All of it ends with the process, however
 * that ends. The process must have no other business: there is no way back.
 */
export class ThrowAwayNode {
  readonly #native: Native
  readonly #ownFd: number
  readonly #madeFolders: readonly string[]
  /** The node's side. */
  readonly socket: RouteSocket
  /** The node's own namespace, as a path. */
  readonly path = `${netnsFolder}/node`

  private constructor(native: Native, madeFolders: readonly string[]) {
    this.#native = native
    this.#madeFolders = madeFolders
    this.#ownFd = newNetns(native, this.path)
    this.socket = new RouteSocket(native, -1, 'the throw-away node')
    upLoopback(this.socket)
  }

  static enter(native: Native): ThrowAwayNode {
    refused('make a mount namespace (it takes root)', native.unshare(CLONE_NEWNS))
    refused('make mounts private', native.mount('none', '/', 'none', MS_REC | MS_PRIVATE))
    const missing = coveredFolders.filter((folder) => !existsSync(folder))
    for (const folder of missing) mkdirSync(folder, { recursive: true, mode: 0o755 })
    for (const folder of coveredFolders)
      refused(`cover ${folder}`, native.mount('tulle', folder, 'tmpfs', 0))
    mkdirSync(netnsFolder, { mode: 0o755 })
    return new ThrowAwayNode(native, missing)
  }

  makePod(name: string): ThrowAwayPod {
    const path = `${netnsFolder}/${name}`
    const netnsFd = newNetns(this.#native, path)
    refused('go back to the node', this.#native.enterNamespace(this.#ownFd, CLONE_NEWNET))
    const socket = new RouteSocket(this.#native, netnsFd, name)
    upLoopback(socket)
    let isOpen = true
    const close = (): void => {
      if (!isOpen) return
      isOpen = false
      socket.close()
      closeSync(netnsFd)
      this.#native.unmount(path)
    }
    return { name, path, netnsFd, socket, isThere: () => isOpen, close }
  }

  /** Takes away the folders that were made to be covered. The namespaces end with the process. */
  leave(): void {
    for (const folder of this.#madeFolders) {
      this.#native.unmount(folder)
      rmdirSync(folder)
    }
  }
}

/** Moves this thread into a new network namespace, which then is a mount at `path` as well. */
function newNetns(native: Native, path: string): number {
  refused('make a network namespace', native.unshare(CLONE_NEWNET))
  writeFileSync(path, '')
  refused(`mount ${path}`, native.mount('/proc/thread-self/ns/net', path, 'none', MS_BIND))
  return openSync(path, 'r')
}

function upLoopback(socket: RouteSocket): void {
  socket.run([{ what: 'set lo up', query: setLink({ index: loopback, up: true }) }])
}

function refused(what: string, number: number): void {
  if (number < 0) throw new KernelRefusal({ what, errno: -number })
}
