import { formatPrefix, type Prefix, parsePrefix } from '../base/prefix.ts'
import { setCluster } from '../kernel/cluster-set.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import type { Native } from '../kernel/native.ts'
import { clusterPrefixes } from '../overlay/cluster-prefixes.ts'
import type { OverlayOptions } from '../overlay/options.ts'
import { waitingAtMost } from '../store/database.ts'
import { allHoldings } from '../store/holdings.ts'
import { LeaseStore } from '../store/lease-store.ts'
import type { Drift } from './drift.ts'
import { Loop, type RunKind, type SharedOptions, sharedOf } from './loop.ts'
import type { Snapshot } from './snapshot.ts'

/**
 * What is inside changes with podCIDRs alone. One node that joins waits for nothing; of many, each
 * run takes a durable commit (8 ms) from the thread that gives them their routes.
 */
const gapMilliseconds = 1_000
const retryMilliseconds = 200
const retryMillisecondsMax = 15_000
/** ADDs go first; this loop comes again. */
const lockWaitMilliseconds = 100

/** Whose word it is in the store, beside that of networks that keep an overlay themselves. */
const owner = 'agent'

export type MasqueradeLoopOptions = SharedOptions & {
  readonly resyncMilliseconds: number
  readonly native: Native
  readonly dataDir: string
  readonly overlay: OverlayOptions
  readonly snapshot: Snapshot
  readonly drift: Drift
}

/**
 * Keeps nftables' knowledge of what is inside the cluster: pods' packets to there keep their
 * addresses. It is on record as well, so that an ADD that has to make a lost table anew knows it.
 */
export class MasqueradeLoop {
  readonly loop: Loop
  readonly #options: MasqueradeLoopOptions
  readonly #filter: FilterSocket
  #done: string | undefined
  #isDisturbed = false

  constructor(options: MasqueradeLoopOptions) {
    this.#options = options
    this.#filter = new FilterSocket(options.native)
    const { resyncMilliseconds } = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'masquerade',
      work: (kind) => this.work(kind),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
      resyncMilliseconds,
    })
  }

  /** Somebody took a table, a set or elements of ours away, or it can't be told who did. */
  disturbed(): void {
    this.#isDisturbed = true
    this.loop.mark()
  }

  work(kind: RunKind): void {
    const { snapshot, overlay, dataDir, native, drift } = this.#options
    if (snapshot.using === 'nothing') return
    const texts = clusterPrefixes(snapshot.nodes.values(), overlay).map(formatPrefix)
    const wanted = texts.join(' ')
    const isSame = wanted === this.#done
    if (isSame && !this.#isDisturbed && kind === 'marked') return
    const lock = waitingAtMost(native.lock, lockWaitMilliseconds)
    const hasChanged = LeaseStore.use(dataDir, lock, (store) => {
      if ((store.cluster.of(owner) ?? []).join(' ') !== wanted) store.cluster.put(owner, texts)
      return setCluster(this.#filter, inside(store), (fill) => fill(allHoldings(store)))
    })
    if (hasChanged && isSame) drift.repaired('nftables', 'set what is inside the cluster again')
    this.#done = wanted
    this.#isDisturbed = false
  }

  close(): void {
    this.#filter.close()
  }
}

const inside = (store: LeaseStore): readonly Prefix[] =>
  store.cluster.all().flatMap((text) => parsePrefix(text) ?? [])
