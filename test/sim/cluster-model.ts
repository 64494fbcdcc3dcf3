import type { ClusterNode } from '../../src/cluster/node.ts'
import type { NodeNews } from '../../src/cluster/node-feed.ts'
import type { FakeClock } from '../agent/fake-clock.ts'
import type { Chance } from './chance.ts'

/**
 * The API as each agent sees it: a list, then news in their order, each late by its own time. A
 * connection may break at any moment: what was under way is lost, and the next begins with a list,
 * or, where the server still knows the version, with news that were told before (doubled).
 */
export class ClusterModel {
  readonly nodes = new Map<string, ClusterNode>()
  readonly #watches = new Set<Watch>()
  readonly #clock: FakeClock
  /** Nobody gets through. */
  isDown = false
  /** Messages come late, doubled, or with a broken connection. */
  isFaulty = true

  constructor(clock: FakeClock) {
    this.#clock = clock
  }

  put(node: ClusterNode): void {
    this.nodes.set(node.name, node)
    for (const watch of this.#watches) watch.tell({ kind: 'changed', node })
  }

  remove(name: string): void {
    if (!this.nodes.delete(name)) return
    for (const watch of this.#watches) watch.tell({ kind: 'gone', name })
  }

  watch(chance: Chance, take: (news: NodeNews) => void): Watch {
    const watch = new Watch(this, { clock: this.#clock, chance, take })
    this.#watches.add(watch)
    return watch
  }

  forget(watch: Watch): void {
    this.#watches.delete(watch)
  }
}

type WatchOptions = {
  readonly clock: FakeClock
  readonly chance: Chance
  readonly take: (news: NodeNews) => void
}

const newsLateMsMax = 400
const relistMsMax = 3_000
const toldMax = 8

/** One agent's connection. */
export class Watch {
  readonly #cluster: ClusterModel
  readonly #options: WatchOptions
  #connection = 0
  #isListed = false
  #deliverAt = 0
  /** The latest news of this connection, for a server that tells them again. */
  #told: NodeNews[] = []

  constructor(cluster: ClusterModel, options: WatchOptions) {
    this.#cluster = cluster
    this.#options = options
    this.#connect()
  }

  tell(news: NodeNews): void {
    if (!this.#isListed) return
    const { chance } = this.#options
    if (this.#cluster.isFaulty && chance.happens(0.08)) this.#break()
    else this.#deliver(news)
  }

  /** Every connection of this agent ends, and it comes back with a list. */
  break(): void {
    this.#break()
  }

  close(): void {
    this.#connection = -1
    this.#cluster.forget(this)
  }

  #break(): void {
    this.#connection++
    this.#isListed = false
    this.#connect()
  }

  #connect(): void {
    const { clock, chance } = this.#options
    const connection = this.#connection
    clock.after(chance.below(relistMsMax), () => {
      if (connection !== this.#connection) return
      if (this.#cluster.isDown) this.#connect()
      else this.#list()
    })
  }

  #list(): void {
    const { chance } = this.#options
    this.#isListed = true
    // What is doubled is old, and right behind it comes what is true.
    if (this.#cluster.isFaulty && chance.happens(0.3))
      for (const news of this.#told) this.#deliver(news)
    this.#told = []
    this.#deliver({ kind: 'all', nodes: [...this.#cluster.nodes.values()] })
  }

  /** In order: none overtakes another of its connection. */
  #deliver(news: NodeNews): void {
    const { clock, chance, take } = this.#options
    const connection = this.#connection
    const late = this.#cluster.isFaulty ? chance.below(newsLateMsMax) : 1
    this.#deliverAt = Math.max(this.#deliverAt, clock.now() + late)
    clock.after(this.#deliverAt - clock.now(), () => {
      if (connection !== this.#connection) return
      take(news)
      if (news.kind !== 'all') this.#told = [...this.#told, news].slice(-toldMax)
      if (this.#cluster.isFaulty && news.kind !== 'all' && chance.happens(0.1)) take(news)
    })
  }
}
