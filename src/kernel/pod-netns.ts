import { closeSync, openSync, readdirSync, statSync } from 'node:fs'
import { Socket } from 'node:net'
import { type Address, formatAddress, sameAddress } from '../base/address.ts'
import type { Native } from './native.ts'
import { errno, KernelRefusal } from './refusal.ts'
import { RouteSocket } from './route-socket.ts'

/** Where runtimes keep namespaces that have a name. */
const namedFolders = ['/run/netns', '/run/docker/netns']

/**
 * A descriptor of the network namespace that has an address, for the caller to close; undefined if
 * there is none. What CNI hands a plugin is on no record, so every namespace is asked: those with a
 * name and those of processes.
 */
export function openNetnsOf(native: Native, address: Address): number | undefined {
  for (const path of namespacePaths()) {
    const fd = tryOpen(path)
    if (fd === undefined) continue
    if (hasAddress(native, fd, address)) return fd
    closeSync(fd)
  }
  return undefined
}

/** Each namespace once, this process's own left out. */
function namespacePaths(): readonly string[] {
  const named = namedFolders.flatMap((folder) => listed(folder).map((name) => `${folder}/${name}`))
  const processes = listed('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => `/proc/${name}/ns/net`)
  const seen = new Set([inodeOf('/proc/self/ns/net')])
  return [...named, ...processes].filter((path) => {
    const inode = inodeOf(path)
    if (inode === undefined || seen.has(inode)) return false
    seen.add(inode)
    return true
  })
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // no such folder: nobody keeps namespaces there
  }
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino
  } catch {
    return undefined // the process has ended
  }
}

function tryOpen(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch {
    return undefined
  }
}

function hasAddress(native: Native, fd: number, address: Address): boolean {
  let socket: RouteSocket
  try {
    socket = new RouteSocket(native, fd, 'a namespace')
  } catch (refusal) {
    if (refusal instanceof KernelRefusal && refusal.errno === errno.EINVAL) return false // no netns
    throw refusal
  }
  try {
    return [...socket.allAddresses().values()]
      .flat()
      .some((prefix) => sameAddress(prefix.address, address))
  } finally {
    socket.close()
  }
}

/** What came back to a SYN: an answer of either kind shows that packets pass both ways. */
export type Answer = 'connected' | 'refused' | 'silent' | 'unreachable'

const CLONE_NEWNET = 0x4000_0000

/**
 * Opens a TCP connection out of a namespace, and closes it. The socket belongs to the namespace
 * that this thread is in when it is made, one tick after `connect`; nothing else runs meanwhile.
 */
export async function connectFrom(
  native: Native,
  netnsFd: number,
  to: { readonly address: Address; readonly port: number; readonly patienceMilliseconds: number },
): Promise<Answer> {
  const home = openSync('/proc/self/ns/net', 'r')
  const socket = new Socket()
  const answer = answerOf(socket, to.patienceMilliseconds)
  try {
    move(native, netnsFd)
    socket.connect(to.port, formatAddress(to.address))
    await new Promise((resolve) => process.nextTick(resolve))
  } finally {
    move(native, home)
    closeSync(home)
  }
  return answer
}

function move(native: Native, netnsFd: number): void {
  const moved = native.enterNamespace(netnsFd, CLONE_NEWNET)
  if (moved < 0) throw new KernelRefusal({ what: 'enter a network namespace', errno: -moved })
}

const answerOf = (socket: Socket, patienceMilliseconds: number): Promise<Answer> =>
  new Promise((resolve) => {
    const end = (answer: Answer): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(patienceMilliseconds, () => end('silent'))
    socket.once('connect', () => end('connected'))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      if (code === 'ECONNREFUSED') end('refused')
      else end(code === 'ETIMEDOUT' || code === 'EPERM' ? 'silent' : 'unreachable')
    })
  })
