import { existsSync } from 'node:fs'
import { type Attachment, nameOf } from '../datapath/attachment.ts'
import type { ObservedSide } from '../datapath/difference.ts'
import { healingSteps } from '../datapath/healing.ts'
import { healTables } from '../kernel/filter-healing.ts'
import type { FilterSocket } from '../kernel/filter-socket.ts'
import { errno, KernelRefusal } from '../kernel/refusal.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { type Lock, StoreBusy, waitingAtMost } from '../store/database.ts'
import { allHoldings } from '../store/holdings.ts'
import { LeaseStore } from '../store/lease-store.ts'
import type { OpenDatabases } from '../store/open-databases.ts'
import { IFF_UP } from '../wire/rtnl/link.ts'
import type { Drift } from './drift.ts'
import { Loop, type SharedOptions, sharedOf } from './loop.ts'
import { isOfPods } from './pod-notices.ts'

/** Pods come and go all day, and each is a notice: a burst of them is looked at a few times. */
const gapMilliseconds = 300
const retryMilliseconds = 1_000
const retryMillisecondsMax = 30_000
/** ADD and DEL go first: they hold the store's lock for some milliseconds. */
const lockWaitMilliseconds = 100
/**
 * An ADD under way has its record before its routes, and a DEL has its link down before its record
 * is gone: what looks hurt is left alone for so long if it was never seen whole.
 */
const patienceMilliseconds = 60_000

/** A DEL takes the link down before its record is gone: one that stays down is none. */
const downMilliseconds = 600

export type PodLoopOptions = SharedOptions & {
  readonly resyncMilliseconds: number
  readonly dataDir: string
  readonly lock: Lock
  readonly stores?: OpenDatabases
  readonly route: RouteSocket
  readonly filter: FilterSocket
  readonly drift: Drift
}

type Hurt = NonNullable<ObservedSide> & { readonly attachment: Attachment }

/**
 * Keeps the host's side of every pod of this node as its ADD left it: what is on record and no
 * longer in the kernel is put back. Under the store's lock, so that no ADD or DEL is half done with
 * its record meanwhile.
 */
export class PodLoop {
  readonly loop: Loop
  readonly #options: PodLoopOptions
  /** Names of attachments that were once seen as they should be. */
  #whole = new Set<string>()
  /** When the others were first seen, by the clock. */
  #seenAt = new Map<string, number>()
  /** When those whose link is down were first seen so, by the clock. */
  #downAt = new Map<string, number>()
  #indexes: ReadonlySet<number> = new Set()

  constructor(options: PodLoopOptions) {
    this.#options = options
    const { resyncMilliseconds } = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'pods',
      work: () => this.work(),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
      resyncMilliseconds,
    })
  }

  /** A message of rtnetlink that was not of our own doing. */
  notice(type: number, body: Uint8Array): void {
    if (isOfPods(type, body, this.#indexes)) this.loop.mark()
  }

  work(): void {
    const { dataDir, lock, stores } = this.#options
    if (!existsSync(`${dataDir}/tulle.db`)) return
    try {
      const patient = waitingAtMost(lock, lockWaitMilliseconds)
      LeaseStore.use(dataDir, patient, (store) => this.#heal(store), stores)
    } catch (refusal) {
      if (!(refusal instanceof StoreBusy)) throw refusal
      this.loop.mark()
    }
  }

  #heal(store: LeaseStore): void {
    const there = this.#observe(store.attachments())
    this.#indexes = new Set(there.map(({ link }) => link.index))
    const names = new Set(there.map(({ attachment }) => nameOf(attachment)))
    this.#whole = new Set([...this.#whole].filter((name) => names.has(name)))
    this.#seenAt = new Map([...this.#seenAt].filter(([name]) => names.has(name)))
    const down = new Map<string, number>()
    for (const one of there) this.#healOne(one, down)
    this.#downAt = down
    if (down.size > 0) this.loop.mark()
    const { filter, drift } = this.#options
    const healed = healTables(filter, allHoldings(store), (name) => this.#isSettled(name))
    if (healed.length > 0) drift.repaired('nftables', healed[0] ?? '', healed.length)
  }

  /** Its ADD is over. */
  #isSettled(name: string): boolean {
    const since = this.#seenAt.get(name)
    const isOld = since !== undefined && this.#options.clock.now() - since >= patienceMilliseconds
    return this.#whole.has(name) || isOld
  }

  #healOne(one: Hurt, down: Map<string, number>): void {
    const { route, drift, clock } = this.#options
    const name = nameOf(one.attachment)
    const steps = healingSteps(one.attachment, one)
    if (steps.length === 0) {
      this.#whole.add(name)
      return
    }
    if (!this.#seenAt.has(name)) this.#seenAt.set(name, clock.now())
    if (!this.#isSettled(name)) return
    const downAt = this.#downAt.get(name) ?? clock.now()
    if ((one.link.flags & IFF_UP) === 0 && clock.now() - downAt < downMilliseconds) {
      down.set(name, downAt)
      return
    }
    try {
      route.run(steps)
    } catch (refusal) {
      // Its DEL, which takes the link down first, came between the look and this.
      if (!(refusal instanceof KernelRefusal) || !isOfGoing(refusal)) throw refusal
      down.set(name, downAt)
      return
    }
    drift.repaired('pod', `${steps[0]?.what ?? 'nothing'} (${name})`, steps.length)
  }

  /** Host ends that are there, with what is on them: one dump of each kind for all. */
  #observe(attachments: readonly Attachment[]): readonly Hurt[] {
    if (attachments.length === 0) return []
    const { route } = this.#options
    const links = new Map(route.links().map((link) => [link.name, link]))
    const addresses = route.allAddresses()
    const routes = Map.groupBy([...route.routes(4), ...route.routes(6)], ({ link }) => link)
    const neighbours = Map.groupBy(route.neighbours(), ({ link }) => link)
    return attachments.flatMap((attachment) => {
      const link = links.get(attachment.link)
      if (!link) return []
      return {
        attachment,
        link,
        addresses: addresses.get(link.index) ?? [],
        routes: routes.get(link.index) ?? [],
        neighbours: neighbours.get(link.index) ?? [],
      }
    })
  }
}

const isOfGoing = ({ errno: number }: KernelRefusal): boolean =>
  number === errno.ENETDOWN || number === errno.ENODEV
