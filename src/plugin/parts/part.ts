import type { Attachment } from '../../datapath/attachment.ts'
import type { Extras } from '../../datapath/extras.ts'
import type { FilterSocket } from '../../kernel/filter-socket.ts'
import type { RouteSocket } from '../../kernel/route-socket.ts'
import type { LeaseStore } from '../../store/lease-store.ts'
import type { Call } from '../context.ts'

/** The interface that a part is asked for. */
export type Target = Pick<Extras, 'ips' | 'hostLink' | 'bridge'> & {
  readonly netnsFd: number
  readonly pod: RouteSocket
  readonly host: RouteSocket
  /**
   * `new`: this call makes the interface, and it does not stand yet when wishes are read; `there`:
   * another plugin of the chain made it.
   */
  readonly origin: 'new' | 'there'
}

/** The interface of an attachment that this executable makes. */
export const targetOf = (
  { ips, link, bridge }: Attachment,
  sockets: Pick<Target, 'netnsFd' | 'pod' | 'host'>,
): Target => ({
  ...sockets,
  ips: ips.map(({ address }) => address),
  hostLink: link,
  bridge: bridge?.name ?? null,
  origin: 'new',
})

/** What takes back works with: sockets of the caller, as each one more takes time. */
export type Removing = {
  readonly store: LeaseStore
  readonly host: RouteSocket
  readonly filter: FilterSocket
  /**
   * Names of links that the caller deletes last and at once: the kernel waits 15 to 35 ms for each
   * deletion, however many links go with it.
   */
  readonly doomed: string[]
}

/** A result as the plugin before printed it, with all its keys. */
export type PrevResult = Readonly<Record<string, unknown>>

/**
 * One thing that an interface can get besides being there. Its elements in our nftables tables come
 * from datapath/extras.ts, and are committed before `apply` runs; here is what else it does.
 * Refusals are CniFaults.
 */
export type Part<Wish> = {
  /**
   * What this call's configuration asks for, null if nothing; with what has to be put back one day,
   * if there is such. It is on record before anything is done; `store` tells what others have.
   */
  readonly wish: (call: Call, target: Target, store: LeaseStore) => Wish | null
  /** Does it; may find some of it done by a process that was killed. */
  readonly apply?: (call: Call, extras: Extras, target: Target) => void
  /**
   * Takes it back, under the store's lock: any number of times, half done too, with the namespace,
   * the interface or our tables gone.
   */
  readonly remove?: (call: Call, extras: Extras, removing: Removing) => void
  /** What it changes in the result of a chain, if anything. */
  readonly amend?: (extras: Extras, result: PrevResult) => PrevResult
  /** What is no longer so, in sentences; nothing if all is well. */
  readonly check?: (call: Call, extras: Extras, target: Target) => readonly string[]
}
