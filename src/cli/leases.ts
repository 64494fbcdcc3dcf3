import { existsSync } from 'node:fs'
import { RouteSocket } from '../kernel/route-socket.ts'
import { lifeStamp } from '../store/boot.ts'
import { LeaseStore } from '../store/lease-store.ts'
import { defaultConfDir, defaultDataDir } from '../store/places.ts'
import { type Desk, type Option, requiredText, ToolFault } from './command.ts'

export const dataDirOption: Option = {
  type: 'string',
  value: 'DIR',
  default: defaultDataDir,
  text: 'where the store is: ipam.dataDir of the network',
}

export const confDirOption: Option = {
  type: 'string',
  value: 'DIR',
  default: defaultConfDir,
  text: 'where the runtime looks for networks',
}

/** The store, locked while `use` works on it; a store that is not there is not made. */
export function withStore<T>(desk: Desk, use: (store: LeaseStore) => T): T {
  const dataDir = requiredText(desk, 'data-dir', 'DIR')
  if (!existsSync(`${dataDir}/tulle.db`))
    throw new ToolFault(
      `${dataDir}/tulle.db is not there: no network of Tulle has leased from this folder; ` +
        'name the ipam.dataDir of the network with --data-dir',
    )
  return LeaseStore.use(dataDir, desk.loadNative().lock, use)
}

/**
 * Whether the leases are of pods that may live: after a boot, or as seen from another network
 * namespace than the plugin's, they are not.
 */
export function isThisLife({ loadNative }: Desk, store: LeaseStore): boolean {
  const host = new RouteSocket(loadNative(), -1, 'the host')
  try {
    return store.meta('life') === lifeStamp(host.netnsCookie())
  } finally {
    host.close()
  }
}
