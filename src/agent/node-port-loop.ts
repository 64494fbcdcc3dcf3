import type { GuardedPorts } from '../datapath/node-port-guard.ts'
import type { NodePortSocket } from '../kernel/node-port-socket.ts'
import type { Drift } from './drift.ts'
import { Loop, type RunKind, type SharedOptions, sharedOf } from './loop.ts'

/** Somebody who takes our table away again and again is answered twice a second. */
const gapMilliseconds = 500
const retryMilliseconds = 500
const retryMillisecondsMax = 30_000

export type NodePortLoopOptions = SharedOptions & {
  readonly resyncMilliseconds: number
  readonly guarded: readonly GuardedPorts[]
  readonly socket: NodePortSocket
  readonly drift: Drift
}

/** Keeps the guard of node ports as it is configured; it waits for nobody. */
export class NodePortLoop {
  readonly loop: Loop
  readonly #options: NodePortLoopOptions
  #isDone = false
  #isDisturbed = false

  constructor(options: NodePortLoopOptions) {
    this.#options = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'node-ports',
      work: (kind) => this.work(kind),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
      resyncMilliseconds: options.resyncMilliseconds,
    })
  }

  /** Somebody changed the table, or it can't be told who did. */
  disturbed(): void {
    this.#isDisturbed = true
    this.loop.mark()
  }

  work(kind: RunKind): void {
    const { guarded, socket, drift } = this.#options
    if (this.#isDone && !this.#isDisturbed && kind === 'marked') return
    if (guarded.length === 0) socket.remove()
    else if (!this.#isDone) socket.load(guarded)
    else if (this.#isDisturbed || !socket.isWhole()) {
      socket.load(guarded)
      drift.repaired('node-ports', 'made the guard of node ports anew')
    }
    this.#isDone = true
    this.#isDisturbed = false
  }
}
