import { Drift } from '../../src/agent/drift.ts'
import { FabricLoop } from '../../src/agent/fabric-loop.ts'
import { Findings } from '../../src/agent/findings.ts'
import { Snapshot } from '../../src/agent/snapshot.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'
import type { NodeNews } from '../../src/cluster/node-feed.ts'
import { queryOf } from '../../src/kernel/fabric-entries.ts'
import { keyOf } from '../../src/overlay/difference.ts'
import type { FabricEntry } from '../../src/overlay/fabric.ts'
import { defaultOverlay } from '../../src/overlay/options.ts'
import type { IfIndex } from '../../src/wire/rtnl/link.ts'
import type { FakeClock } from '../agent/fake-clock.ts'
import type { Chance } from './chance.ts'
import type { ClusterModel, Watch } from './cluster-model.ts'
import { type KernelModel, Killed } from './kernel-model.ts'

// include/uapi/linux/rtnetlink.h
const RTM_DELROUTE = 25
const RTM_DELNEIGH = 29

/**
 * `lossy`: notices of the kernel may get lost, and the next look at everything finds out. `late`:
 * they come late, twice, or as the word that some were lost, and nothing else helps: there is no
 * look at everything but what they lead to.
 */
export type Notices = 'lossy' | 'late'

/** Between two looks at everything: the agent's own default, or never. */
const resyncMilliseconds = { lossy: 30_000, late: 1e9 } as const

/** What outlives an agent besides the kernel: the last known nodes. */
export type Disk = { known: readonly ClusterNode[] | undefined }

export type AgentOptions = {
  readonly name: string
  readonly clock: FakeClock
  readonly chance: Chance
  readonly kernel: KernelModel
  readonly cluster: ClusterModel
  readonly disk: Disk
  readonly notices: Notices
  /** It was killed, in the middle of something. */
  readonly onDeath: () => void
  /** What it should never have thrown. */
  readonly onFault: (error: unknown) => void
}

/** Milliseconds of silence after which the disk is believed; the agent's own default is longer. */
const silenceMs = 5_000

/** A real fabric loop between a model of the kernel and a model of the API. */
export class AgentModel {
  readonly loop: FabricLoop
  readonly #options: AgentOptions
  readonly #snapshot = new Snapshot()
  readonly #watch: Watch
  readonly #timers: (() => void)[] = []
  #isDead = false

  constructor(options: AgentOptions) {
    this.#options = options
    const { clock, chance, kernel, cluster, name } = options
    this.loop = new FabricLoop({
      nodeName: name,
      overlay: defaultOverlay,
      resyncMilliseconds: resyncMilliseconds[options.notices],
      snapshot: this.#snapshot,
      fabric: kernel,
      indexOf: (link) => kernel.indexOf(link),
      drift: new Drift(clock, () => undefined),
      findings: new Findings(clock, () => undefined),
      onConverged: () => undefined,
      onSelf: () => undefined,
      onReady: () => undefined,
      clock,
      random: chance.next,
      onError: (_, error) => {
        if (error instanceof Killed) this.die()
        else if (!isRefusal(error)) options.onFault(error)
      },
    })
    kernel.onForeignChange = (lost) => this.#hear(lost)
    this.#watch = cluster.watch(chance.fork(), (news) => this.#take(news, 'live'))
    this.#timers.push(
      clock.after(silenceMs, () => {
        const { known } = options.disk
        if (known && this.#snapshot.using === 'nothing')
          this.#take({ kind: 'all', nodes: known }, 'known')
      }),
    )
    this.loop.loop.mark()
  }

  get isDead(): boolean {
    return this.#isDead
  }

  /** SIGKILL: nothing more is done, nothing is tidied up. */
  die(): void {
    if (this.#isDead) return
    this.#isDead = true
    for (const cancel of this.#timers) cancel()
    this.#watch.close()
    void this.loop.loop.stop()
    this.#options.onDeath()
  }

  breakWatch(): void {
    this.#watch.break()
  }

  #take(news: NodeNews, from: 'known' | 'live'): void {
    if (this.#isDead) return
    const before = this.#snapshot.using
    const changed = this.#snapshot.take(news, from)
    if (before !== this.#snapshot.using) this.loop.sourceChanged()
    this.loop.nodesChanged(changed)
    if (from === 'live') this.#remember()
  }

  /** The disk is written a while later, and not at all if the power goes first. */
  #remember(): void {
    const { clock, chance, disk } = this.#options
    this.#timers.push(
      clock.after(chance.below(2_000), () => {
        if (!this.#isDead && this.#snapshot.using === 'live')
          disk.known = [...this.#snapshot.nodes.values()]
      }),
    )
  }

  #hear(lost: readonly FabricEntry[]): void {
    const { clock, chance, notices } = this.#options
    const times = chance.of(notices === 'lossy' ? [0, 1, 1, 2] : [1, 1, 2]) ?? 1
    const isOverrun = chance.happens(0.2)
    for (let time = 0; time < times; time++)
      clock.after(chance.below(500), () => {
        if (this.#isDead) return
        if (isOverrun || lost.length === 0) this.loop.eventsLost()
        else for (const entry of lost) this.#notice(entry)
      })
  }

  #notice(entry: FabricEntry): void {
    const index = this.#options.kernel.indexOf(entry.link)
    if (index === undefined) return
    const { body } = queryOf({ kind: 'delete', entry }, index as IfIndex)
    this.loop.notice(entry.kind === 'route' ? RTM_DELROUTE : RTM_DELNEIGH, body)
  }

  /** What it wants, by its own account. */
  get wantedKeys(): readonly string[] {
    return [...this.loop.weave.wanted.values()].map(keyOf)
  }
}

/** Refused by the kernel model: tried again by the loop. */
const isRefusal = (error: unknown): boolean =>
  error instanceof Error && /refused|Cannot/.test(error.message)
