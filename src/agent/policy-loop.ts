import { type Address, addressBytes, addressKey, formatAddress } from '../base/address.ts'
import type { Pod } from '../cluster/pod.ts'
import { type Attachment, nameOf } from '../datapath/attachment.ts'
import { policedElements, policyTable } from '../datapath/policy-table.ts'
import type { FilterSocket } from '../kernel/filter-socket.ts'
import type { PolicySocket } from '../kernel/policy-socket.ts'
import { KernelRefusal } from '../kernel/refusal.ts'
import { compile, emptyMemo, type PolicyState } from '../policy/compile.ts'
import type { Program } from '../policy/program.ts'
import { type Lock, StoreBusy, waitingAtMost } from '../store/database.ts'
import { LeaseStore } from '../store/lease-store.ts'
import type { OpenDatabases } from '../store/open-databases.ts'
import { concatenate, type Element } from '../wire/nft/set.ts'
import type { Drift } from './drift.ts'
import { LocalPods, policedRecords } from './local-pods.ts'
import { Loop, type RunKind, type SharedOptions, sharedOf } from './loop.ts'
import type { PolicyBook, Revisions } from './policy-book.ts'
import type { PolicyNotice } from './policy-notices.ts'
import type { Snapshot } from './snapshot.ts'

/**
 * A burst of changes is done in a few runs, which take half of the time at most; one pod that comes
 * is not kept waiting.
 */
const gapMilliseconds = (lastMilliseconds: number): number => Math.min(lastMilliseconds, 5)
const retryMilliseconds = 100
const retryMillisecondsMax = 15_000
/** ADDs and DELs hold the store's lock for some milliseconds; they go first. */
const lockWaitMilliseconds = 100
/** Somebody who takes our table away again and again is answered twice a second. */
const reloadMilliseconds = 500

export type PolicyLoopOptions = SharedOptions & {
  readonly resyncMilliseconds: number
  readonly nodeName: string
  readonly dataDir: string
  readonly lock: Lock
  readonly stores?: OpenDatabases
  readonly book: PolicyBook
  readonly snapshot: Snapshot
  readonly policies: PolicySocket
  readonly filter: FilterSocket
  /** The source is a folder: no record names a pod, and a pod need not say where it runs. */
  readonly isByAddress: boolean
  readonly drift: Drift
  /** Before each run, whether or not anything is known. */
  readonly onRun: () => void
  /** Policies of these revisions are in the kernel; seconds from the first change's news. */
  readonly onEnforced: (revisions: Revisions, seconds: number | undefined) => void
}

/**
 * Keeps `inet tulle-policy` as the cluster's policies have it. Before all of them are known nothing
 * is done: what an earlier agent left goes on holding, and new pods stay closed. Then the whole
 * table is replaced in one batch, and from there on differences are committed.
 */
export class PolicyLoop {
  readonly loop: Loop
  readonly local = new LocalPods()
  readonly #options: PolicyLoopOptions
  readonly #memo = emptyMemo()
  #committed: Program | undefined
  #areRecordsOld = true
  /** Whose entries somebody else has touched, by address text. */
  #touched = new Map<string, Address>()
  #isGenerationGone = false
  /** Names of the attachments that were on record at the last look. */
  #seen = new Set<string>()
  /** Why the table is to be loaded as a whole. */
  #damage: string | undefined
  #loadedAt = Number.NEGATIVE_INFINITY
  #cancelReload: (() => void) | undefined

  constructor(options: PolicyLoopOptions) {
    this.#options = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'policy',
      work: (kind) => this.work(kind),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
      resyncMilliseconds: options.resyncMilliseconds,
    })
  }

  /** What is in the kernel; undefined before the first load. */
  get program(): Program | undefined {
    return this.#committed
  }

  /** What is waited for before anything is done; undefined: nothing. */
  get pending(): string | undefined {
    const { book, snapshot } = this.#options
    if (this.#committed) return undefined
    const missing = [...book.missing, ...(snapshot.using === 'live' ? [] : ['Node'])]
    return missing.length === 0
      ? 'the first load'
      : `nothing is known yet of: ${missing.join(', ')}; what the kernel holds stays in force`
  }

  /** Of nf_tables, what somebody else did. */
  notice(notice: PolicyNotice): void {
    switch (notice.kind) {
      case 'node-ports':
        return
      case 'pods':
        this.#areRecordsOld = true
        for (const address of notice.addresses) this.#touched.set(formatAddress(address), address)
        break
      case 'generation':
        this.#isGenerationGone = true
        break
      case 'policies':
        this.#damage ??= 'somebody else changed it'
    }
    this.loop.mark()
  }

  /** It can't be told what somebody else did. */
  eventsLost(): void {
    this.#damage ??= 'events of the kernel were lost'
    this.#areRecordsOld = true
    this.loop.mark()
  }

  close(): void {
    this.#cancelReload?.()
  }

  work(kind: RunKind): void {
    const { book, snapshot, onRun } = this.#options
    onRun()
    if (!book.isWhole || snapshot.using !== 'live') return
    try {
      this.#enforce(kind)
    } catch (refusal) {
      if (!(refusal instanceof StoreBusy)) throw refusal
      this.loop.mark()
    }
  }

  #enforce(kind: RunKind): void {
    const { book, clock, onEnforced } = this.#options
    const { changedAt, revisions } = book
    if (this.#areRecordsOld && this.#committed) this.#withRecords(() => undefined)
    if (this.#committed && this.#damage === undefined) this.#change(this.#committed)
    if (this.#committed && this.#damage === undefined && kind === 'resync') this.#look()
    if ((!this.#committed || this.#damage !== undefined) && !this.#reload()) return
    book.taken()
    const seconds = changedAt === undefined ? undefined : (clock.now() - changedAt) / 1000
    onEnforced(revisions, seconds)
  }

  /** False: too soon after the last time. */
  #reload(): boolean {
    const { clock, drift } = this.#options
    const waitMilliseconds = this.#loadedAt + reloadMilliseconds - clock.now()
    if (waitMilliseconds > 0) {
      this.#cancelReload?.()
      this.#cancelReload = clock.after(waitMilliseconds, () => this.loop.mark())
      return false
    }
    const damage = this.#damage
    this.#load()
    if (damage !== undefined) drift.repaired('policy', `loaded all policies anew: ${damage}`)
    return true
  }

  /** Under the store's lock, so that what ADDs and DELs do is all in it or all behind it. */
  #load(): void {
    const { policies, clock } = this.#options
    const wasFirst = this.#committed === undefined
    // What takes long is done before the lock is taken.
    if (wasFirst) this.#compile()
    this.#withRecords((attachments) => {
      const program = this.#compile()
      policies.load(program, policedBy(attachments))
      this.#committed = program
    })
    this.#loadedAt = clock.now()
    this.#damage = undefined
    this.#touched.clear()
    this.#isGenerationGone = false
  }

  #change(committed: Program): void {
    const { policies } = this.#options
    const { generation } = policies
    try {
      const before = this.#asTheKernelHasIt(committed)
      const next = this.#compile()
      policies.change(before, next)
      this.#committed = next
      if (this.#isGenerationGone && policies.generation === generation) policies.renew()
    } catch (refusal) {
      if (!(refusal instanceof KernelRefusal)) throw refusal
      this.#damage = refusal.message
      return
    }
    this.#touched.clear()
    this.#isGenerationGone = false
  }

  #compile(): Program {
    const { book, snapshot, nodeName } = this.#options
    this.local.bind(book.pods, this.#podAt())
    const { pods, namespaces, policies } = book
    const state: PolicyState = {
      nodeName,
      pods,
      namespaces,
      policies,
      nodes: snapshot.nodes,
      local: this.local.pods,
    }
    return compile(state, this.#memo)
  }

  /** The pods of this node by address; walked through once, if anybody asks. */
  #podAt(): (address: Address) => Pod | undefined {
    const { book, nodeName, isByAddress } = this.#options
    let pods: Map<string, Pod> | undefined
    return (address) => {
      pods ??= podsByAddress(book.pods.values(), isByAddress ? undefined : nodeName)
      return pods.get(addressKey(address))
    }
  }

  #withRecords(use: (attachments: readonly Attachment[]) => void): void {
    const { dataDir, lock, stores } = this.#options
    const look = (store: LeaseStore): void => {
      const attachments = store.attachments()
      this.local.put(policedRecords(attachments))
      this.#areRecordsOld = false
      use(attachments)
    }
    LeaseStore.use(dataDir, waitingAtMost(lock, lockWaitMilliseconds), look, stores)
  }

  /** An ADD takes away the verdicts that its address had of another pod. */
  #asTheKernelHasIt(committed: Program): Program {
    const { filter } = this.#options
    const lost = [...this.#touched].filter(([text, address]) => {
      const elements = verdictsOf(address)
      return committed.subjects.has(text) && filter.missingElements({ elements }).length > 0
    })
    if (lost.length === 0) return committed
    const subjects = new Map(committed.subjects)
    for (const [text, address] of lost) {
      subjects.delete(text)
      filter.deleteElements([...verdictsOf(address), itselfOf(address)])
    }
    return { ...committed, subjects }
  }

  /** What no event told. A record that is new may be of an ADD that has not closed its pod yet. */
  #look(): void {
    const { policies } = this.#options
    const program = this.#committed
    if (!program || this.#touched.size > 0) return
    this.#withRecords((attachments) => {
      const settled = attachments.filter((one) => this.#seen.has(nameOf(one)))
      this.#seen = new Set(attachments.map(nameOf))
      if (!policies.isAsCommitted(program, policedBy(settled)))
        this.#damage = 'it was not as it had been left'
    })
  }
}

/** @param node absent: pods of files, which may say nothing of where they run. */
function podsByAddress(pods: Iterable<Pod>, node: string | undefined): Map<string, Pod> {
  const found = new Map<string, Pod>()
  for (const pod of pods) {
    if (pod.isDone || pod.isHostNetwork || (node !== undefined && pod.node !== node)) continue
    for (const address of pod.addresses) found.set(addressKey(address), pod)
  }
  return found
}

const verdictsOf = (address: Address): readonly Element[] =>
  (['egress', 'ingress'] as const).map((side) => ({
    ...policyTable,
    set: `${side}${address.family}`,
    key: addressBytes(address),
  }))

const itselfOf = (address: Address): Element => {
  const bytes = addressBytes(address)
  return { ...policyTable, set: `itself${address.family}`, key: concatenate([bytes, bytes]) }
}

/** Of two records with one address the later one closes it (P44). */
function policedBy(attachments: readonly Attachment[]): readonly Element[] {
  const elements = attachments.filter(({ isPoliced }) => isPoliced).flatMap(policedElements)
  const byKey = new Map(elements.map((one) => [`${one.set} ${one.key.join('.')}`, one]))
  return [...byKey.values()]
}
