import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { CallCounts, CallTally } from '../cni/call-tally.ts'
import type { Native } from '../kernel/native.ts'
import type { Clock } from './clock.ts'

/** What a worker runs: an asset of the executable, which the agent itself does not load. */
export type WorkerSource = { readonly source: string; readonly build: string }

export type CallWorkerOptions = {
  readonly native: Native
  readonly clock: Clock
  readonly worker: WorkerSource
  readonly tally: CallTally
  /** Where launchers look for it. */
  readonly socketPath: string
  readonly onBroken: (refusal: unknown) => void
}

const retryMilliseconds = 1_000
const patienceMilliseconds = 2_000

/** A call makes some hundred kilobytes that die with it: a nursery of 2 MB fills all the time. */
const resourceLimits = { maxYoungGenerationSizeMb: 24 }

/** Runs what it is handed as `source`; the names are those of src/main.ts. */
const bootstrap = `
const { workerData } = require('node:worker_threads')
const module_ = { exports: {} }
new (require('node:vm').Script)(workerData.source, { filename: 'worker.js' })
  .runInThisContext()(module_.exports, require, module_)
module_.exports.main(workerData)`

/**
 * Serves this node's CNI calls on a thread of its own, so that nothing the agent does delays one.
 * While it is away launchers start processes.
 */
export class CallWorker {
  readonly #options: CallWorkerOptions
  #worker: Worker | undefined
  #port: MessagePort | undefined
  #listeningFd: number | undefined
  #obstacle: string | undefined
  #cancelRetry: (() => void) | undefined
  #isStopped = false

  constructor(options: CallWorkerOptions) {
    this.#options = options
  }

  start(): void {
    const { worker, socketPath, tally, onBroken } = this.#options
    const { port1, port2 } = new MessageChannel()
    const { source, build } = worker
    const workerData = { source, build, socketPath, tallyMemory: tally.memory, port: port2 }
    const started = new Worker(bootstrap, {
      eval: true,
      workerData,
      transferList: [port2],
      resourceLimits,
    })
    port1.on('message', ({ fd }: { fd: number }) => {
      this.#listeningFd = fd
    })
    port1.unref()
    started.on('error', onBroken)
    started.once('exit', () => this.#onExit())
    this.#worker = started
    this.#port = port1
    this.#tell()
  }

  get counts(): CallCounts {
    return this.#options.tally.counts
  }

  /** Why an ADD could not be served now, undefined if it could; STATUS says it. */
  setObstacle(text: string | undefined): void {
    if (text === this.#obstacle) return
    this.#obstacle = text
    this.#tell()
  }

  /** What was begun ends first, if it does so soon. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelRetry?.()
    const worker = this.#worker
    if (!worker) return
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
    if (this.#listeningFd !== undefined) this.#options.native.shutDown(this.#listeningFd)
    const cancel = this.#options.clock.after(patienceMilliseconds, () => void worker.terminate())
    await ended
    cancel()
  }

  #tell(): void {
    this.#port?.postMessage({ obstacle: this.#obstacle })
  }

  #onExit(): void {
    this.#port?.close()
    this.#worker = undefined
    this.#listeningFd = undefined
    if (this.#isStopped) return
    this.#cancelRetry = this.#options.clock.after(retryMilliseconds, () => this.start())
  }
}
