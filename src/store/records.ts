import type { Sight } from '../datapath/gone.ts'
import type { LeaseStore } from './lease-store.ts'

/** Everything that is on record of pods. */
export type Records = Pick<Sight, 'attachments' | 'extras' | 'delegates' | 'holders'> & {
  /** Networks whose leases are files too, in host-local's folder in the data directory. */
  readonly filed: ReadonlySet<string>
}

export function recordsIn(store: LeaseStore, dataDir: string): Records {
  const attachments = store.attachments()
  const extras = store.extras.all()
  const holders = store.leases()
  const networks = new Set([...attachments, ...extras, ...holders].map(({ network }) => network))
  const isFiled = (name: string): boolean => store.meta(`adopted ${dataDir}/${name}`) !== undefined
  return {
    attachments,
    extras,
    holders,
    delegates: [...networks].flatMap((network) => store.delegates.all(network)),
    filed: new Set([...networks].filter(isFiled)),
  }
}
