import { readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { type Address, formatAddress, parseAddress } from '../base/address.ts'

/**
 * A lease as reference host-local keeps it: a file named by the address, holding "container CR LF
 * ifname".
 */
export type HostLocalLease = {
  readonly address: Address
  readonly container: string
  /** Empty in files of host-local before 0.8, which hold the container alone. */
  readonly ifname: string
}

/**
 * A change of the directory since it was last read, or undefined if there is none (or no
 * directory).
 */
export function directoryStamp(folder: string): string | undefined {
  const state = statSync(folder, { bigint: true, throwIfNoEntry: false })
  return state?.isDirectory() ? `${state.ino} ${state.mtimeNs}` : undefined
}

/** Longer than a tick of any file system's clock: two changes in one tick leave one time behind. */
const tickMillisecondsMax = 1000

/** Changed so lately that another change might not show in its time. */
export const isFresh = (folder: string): boolean =>
  Date.now() - statSync(folder).mtimeMs < tickMillisecondsMax

/**
 * The leases in a host-local directory that can belong to living pods: files older than `since`
 * are what host-local leaks at every reboot, empty ones what it leaks at a power cut.
 */
export const readHostLocal = (folder: string, since: number): readonly HostLocalLease[] =>
  listHostLocal(folder).flatMap((name) => readHostLocalLease({ folder, name, since }) ?? [])

/** Names of the files that are leases: addresses. */
export const listHostLocal = (folder: string): readonly string[] =>
  readdirSync(folder).filter((name) => parseAddress(name) !== undefined)

export type LeaseFile = {
  readonly folder: string
  readonly name: string
  /** Milliseconds since 1970: what was written before belongs to no living pod. */
  readonly since: number
}

/** One of them, if it can belong to a living pod. */
export function readHostLocalLease({ folder, name, since }: LeaseFile): HostLocalLease | undefined {
  const address = parseAddress(name)
  const path = `${folder}/${name}`
  const state = statSync(path)
  if (!address || !state.isFile()) return undefined
  const [container = '', ifname = ''] = readFileSync(path, 'utf8').trim().split(/\s+/)
  const isStale = state.mtimeMs < since
  return isStale || container === '' ? undefined : { address, container, ifname }
}

/**
 * Writes a lease as host-local does, under its lock. A file that is there belongs to nobody who
 * lives.
 */
export function writeHostLocal(folder: string, lease: HostLocalLease): void {
  const { address, container, ifname } = lease
  writeFileSync(`${folder}/${formatAddress(address)}`, `${container}\r\n${ifname}`, { mode: 0o600 })
}

/**
 * Takes a released lease out of the directory too, so that it is not adopted again; of `container`
 * alone, if one is named: the address may be another's by now.
 */
export function unlinkHostLocal(folder: string, address: Address, container?: string): void {
  const path = `${folder}/${formatAddress(address)}`
  try {
    if (container !== undefined && readFileSync(path, 'utf8').trim().split(/\s+/)[0] !== container)
      return
    unlinkSync(path)
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code !== 'ENOENT') throw refusal
  }
}
