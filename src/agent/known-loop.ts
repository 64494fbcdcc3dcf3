import { readKnownNodes, writeKnownNodes } from '../store/known-nodes.ts'
import { Loop, type SharedOptions, sharedOf } from './loop.ts'
import type { Snapshot } from './snapshot.ts'

/** 5,000 nodes take 60 ms to write: once in a while has to do, and the end of the process. */
const gapMilliseconds = 30_000
const retryMilliseconds = 10_000
const retryMillisecondsMax = 300_000

export type KnownLoopOptions = SharedOptions & {
  readonly nodeName: string
  readonly stateDir: string
  readonly snapshot: Snapshot
}

/** Keeps on disk what is known of the cluster, for a start while nobody answers. */
export class KnownLoop {
  readonly loop: Loop
  readonly #options: KnownLoopOptions
  #isStale = false

  constructor(options: KnownLoopOptions) {
    this.#options = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'known-nodes',
      work: () => this.work(),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
    })
  }

  mark(): void {
    this.#isStale = true
    this.loop.mark()
  }

  /** What is on disk, if it is this node's; what is wrong with it, if it can't be used. */
  read(): {
    readonly nodes?: Parameters<typeof writeKnownNodes>[1]['nodes']
    readonly why?: string
  } {
    const { stateDir, nodeName } = this.#options
    const read = readKnownNodes(stateDir)
    if (read.kind === 'absent') return {}
    if (read.kind === 'damaged') return { why: `Cannot use ${read.path}: ${read.why}` }
    const { node, nodes } = read.known
    return node === nodeName ? { nodes } : { why: `what is on disk is of node ${node}` }
  }

  work(): void {
    const { snapshot, stateDir, nodeName } = this.#options
    if (!this.#isStale || snapshot.using !== 'live') return
    writeKnownNodes(stateDir, { node: nodeName, nodes: [...snapshot.nodes.values()] })
    this.#isStale = false
  }
}
