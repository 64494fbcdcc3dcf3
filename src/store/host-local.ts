import { readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs'
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
 * The leases in a host-local directory that can belong to living pods: files older than the
 * machine's boot are what host-local leaks at every reboot, empty ones what it leaks at a power
 * cut.
 */
export function readHostLocal(folder: string, bootMilliseconds: number): readonly HostLocalLease[] {
  return readdirSync(folder).flatMap((name) => {
    const address = parseAddress(name)
    if (!address) return []
    const path = `${folder}/${name}`
    const state = statSync(path)
    if (!state.isFile()) return []
    const [container = '', ifname = ''] = readFileSync(path, 'utf8').trim().split(/\s+/)
    const isStale = state.mtimeMs < bootMilliseconds
    return isStale || container === '' ? [] : [{ address, container, ifname }]
  })
}

/** Takes a released lease out of the directory too, so that it is not adopted again. */
export function unlinkHostLocal(folder: string, address: Address): void {
  try {
    unlinkSync(`${folder}/${formatAddress(address)}`)
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code !== 'ENOENT') throw refusal
  }
}
