import { decodeEnforcingNode, type EnforcingNode } from '../../cluster/policy-revision.ts'
import type { Reflected } from '../../kube/reflected.ts'
import { Reflector } from '../../kube/reflector.ts'
import { isRefusal } from '../../kube/refusal.ts'
import { nodes } from '../../kube/resource.ts'
import { InputFault } from '../command.ts'
import { faultOf, type LiveCluster, liveKinds } from '../live-cluster.ts'
import { type Rollout, rolloutOf, type Wanted } from './rollout.ts'

export type Outcome = Rollout & { readonly seconds: number }

export type FollowOptions = {
  readonly live: LiveCluster
  readonly wanted: readonly Wanted[]
  readonly waitedFor: 'all' | 'ready'
  readonly milliseconds: number
  readonly onProgress: (rollout: Rollout) => void
}

/** Hears of every change of a Node until all enforce what is wanted, or the time is over. */
export class Follower {
  readonly #options: FollowOptions
  readonly #known = new Map<string, EnforcingNode>()
  readonly #outcome = Promise.withResolvers<Rollout>()
  readonly #reflector: Reflector<EnforcingNode>
  #isListed = false
  /** The time is up, and the first list is still on its way: it has a limit of its own. */
  #isOver = false
  #problem: Error | undefined

  constructor(options: FollowOptions) {
    this.#options = options
    this.#reflector = new Reflector({
      client: options.live.client,
      resource: nodes,
      select: decodeEnforcingNode,
      isSame: (left, right) => JSON.stringify(left) === JSON.stringify(right),
      onProblem: (problem) => this.#fail(problem),
      onNews: (news) => this.#hear(news),
    })
  }

  /** Faults: InputFault, if the nodes can't be asked for, or there are none. */
  async run(): Promise<Outcome> {
    const begun = performance.now()
    const timer = setTimeout(() => this.#giveUp(), this.#options.milliseconds)
    this.#reflector.start()
    try {
      const rollout = await this.#outcome.promise
      return { ...rollout, seconds: (performance.now() - begun) / 1000 }
    } finally {
      clearTimeout(timer)
      await this.#reflector.stop()
    }
  }

  #rollout(): Rollout {
    const { wanted, waitedFor } = this.#options
    return rolloutOf([...this.#known.values()], wanted, waitedFor)
  }

  #giveUp(): void {
    this.#isOver = true
    if (this.#isListed) this.#outcome.resolve(this.#rollout())
    else if (this.#problem) this.#outcome.reject(faultOf(this.#problem))
  }

  /** The reflector tries again, unless that is of no use. */
  #fail(problem: Error): void {
    this.#problem = problem
    if (this.#isOver || isRefusal(problem, 401, 403))
      this.#outcome.reject(faultOf(problem, liveKinds.nodes))
  }

  #hear(news: Reflected<EnforcingNode>): void {
    const known = this.#known
    if (news.kind === 'all') {
      known.clear()
      for (const [key, node] of news.items) known.set(key, node)
      this.#isListed = true
    } else if (news.kind === 'changed') known.set(news.key, news.item)
    else known.delete(news.key)
    if (known.size === 0) {
      this.#outcome.reject(new InputFault('The cluster has no node to wait for'))
      return
    }
    const rollout = this.#rollout()
    if (rollout.pending.length === 0 || this.#isOver) this.#outcome.resolve(rollout)
    else this.#options.onProgress(rollout)
  }
}
