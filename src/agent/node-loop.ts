import { existsSync, type FSWatcher, readdirSync, readFileSync, statSync, watch } from 'node:fs'
import { basename, dirname } from 'node:path/posix'
import type { Prefix } from '../base/prefix.ts'
import { type Conflict, conflictsOf } from '../overlay/conflicts.ts'
import { podMtuBytes } from '../overlay/device.ts'
import type { Self } from '../overlay/fabric.ts'
import type { LeaseStatus } from '../serve/agent-status.ts'
import { makeFolder } from '../store/database.ts'
import { replaceText, syncFolder } from '../store/durable.ts'
import { installExecutable } from '../store/executable.ts'
import type { AgentConfig } from './config.ts'
import { conflistText } from './conflist.ts'
import type { Drift } from './drift.ts'
import type { Findings, Found } from './findings.ts'
import { Loop, type RunKind, type SharedOptions, sharedOf } from './loop.ts'
import { conflictFindings, exhaustedRanges, foreignFirst, noPodCIDR } from './node-findings.ts'
import type { Snapshot } from './snapshot.ts'

/** Conflicts are looked for among all nodes: a burst of joins is looked at a few times. */
const gapMilliseconds = 1_000
const nodesQuickMax = 500
const judgedMilliseconds = 10_000
const retryMilliseconds = 1_000
const retryMillisecondsMax = 60_000

export type NodeLoopOptions = SharedOptions & {
  readonly config: Pick<
    AgentConfig,
    | 'nodeName'
    | 'overlay'
    | 'conflist'
    | 'binDir'
    | 'dataDir'
    | 'ipMasq'
    | 'resyncSeconds'
    | 'policy'
    | 'runDir'
    | 'warm'
  >
  readonly snapshot: Snapshot
  readonly self: () => Self | undefined
  /** Routes to other nodes are in the kernel. */
  readonly isFabricReady: () => boolean
  /** Whether this process is the packaged executable, which can be installed. */
  readonly isPackaged: boolean
  readonly leases: (podCIDRs: readonly Prefix[]) => LeaseStatus
  readonly drift: Drift
  readonly findings: Findings
  /** Pods can come. */
  readonly onReady: () => void
}

/**
 * Makes the node fit for pods: the executable first, the network list last, as the runtime takes
 * the list for "ready". Refused with a finding while this node has no
 * podCIDR, shares it with another, or has another network before ours.
 */
export class NodeLoop {
  readonly loop: Loop
  readonly #options: NodeLoopOptions
  #written: string | undefined
  #isReady = false
  #watcher: FSWatcher | undefined
  #judged: readonly Conflict[] = []
  #judgedAt: number | undefined

  constructor(options: NodeLoopOptions) {
    this.#options = options
    const { config } = options
    this.loop = new Loop({
      ...sharedOf(options),
      name: 'node',
      work: (kind) => this.work(kind),
      gapMilliseconds,
      retryMilliseconds,
      retryMillisecondsMax,
      resyncMilliseconds: config.resyncSeconds * 1000,
    })
  }

  close(): void {
    this.#watcher?.close()
  }

  get isReady(): boolean {
    return this.#isReady
  }

  work(kind: RunKind): void {
    const { self, isFabricReady, findings, leases, onReady } = this.#options
    const own = self()
    if (!own || !isFabricReady()) return
    this.#watchFolder()
    // Counting them takes the store's lock: not for every node that changes.
    if (kind === 'resync') findings.tell('leases', exhaustedRanges(leases(own.podCIDRs)))
    const found = this.#obstacles(own)
    findings.tell('node', found)
    if (found.some(({ severity }) => severity === 'error')) return
    this.#install()
    this.#writeConflist(own)
    if (this.#isReady) return
    this.#isReady = true
    onReady()
  }

  /** A list of somebody else's that goes, or ours, is no matter of half a minute. */
  #watchFolder(): void {
    const { conflist } = this.#options.config
    if (conflist === undefined || this.#watcher) return
    const folder = dirname(conflist)
    makeFolder(folder)
    try {
      this.#watcher = watch(folder, () => this.loop.mark())
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      // Out of inotify watches, say: the next resync looks.
    }
  }

  #obstacles(own: Self): readonly Found[] {
    const { config } = this.#options
    const conflicts = conflictFindings(this.#conflicts(), own.name)
    const foreign = config.conflist === undefined ? undefined : foreignBefore(config.conflist)
    return [
      ...(own.podCIDRs.length === 0 ? [noPodCIDR(own.name)] : []),
      ...conflicts,
      ...(foreign === undefined ? [] : [foreignFirst(foreign, config.conflist ?? '')]),
    ]
  }

  /** All of a large cluster's take 50 ms: then now and again has to do, and each resync. */
  #conflicts(): readonly Conflict[] {
    const { snapshot, clock } = this.#options
    const isLarge = snapshot.nodes.size > nodesQuickMax
    const isFresh =
      this.#judgedAt !== undefined && clock.now() - this.#judgedAt < judgedMilliseconds
    if (isLarge && isFresh && this.#isReady) return this.#judged
    this.#judged = conflictsOf([...snapshot.nodes.values()])
    this.#judgedAt = clock.now()
    return this.#judged
  }

  #install(): void {
    const { config, isPackaged } = this.#options
    if (config.conflist === undefined || !isPackaged) return
    makeFolder(config.binDir)
    const { binDir, runDir, warm } = config
    const placed = installExecutable(binDir, warm ? { kind: 'warm', runDir } : { kind: 'alone' })
    if (placed.length > 0) syncFolder(binDir)
  }

  #writeConflist(own: Self): void {
    const { config, drift } = this.#options
    const { conflist: path, overlay, ipMasq, dataDir, runDir, policy } = config
    if (path === undefined) return
    const text = conflistText({
      podCIDRs: own.podCIDRs,
      mtuBytes: podMtuBytes(own, overlay),
      ipMasq,
      dataDir,
      ...(policy ? { policy: { runDir } } : {}),
    })
    if (textAt(path) === text) {
      this.#written = text
      return
    }
    makeFolder(dirname(path))
    replaceText(path, 0o644, text)
    syncFolder(dirname(path))
    if (this.#written === text) drift.repaired('conflist', `wrote ${path} again`)
    this.#written = text
  }
}

const textAt = (path: string): string | undefined =>
  existsSync(path) ? readFileSync(path, 'utf8') : undefined

/** As libcni lists a folder: *.conf, *.conflist, *.json in the order of their names; first wins. */
function foreignBefore(path: string): string | undefined {
  const [folder, own] = [dirname(path), basename(path)]
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return undefined
  return readdirSync(folder)
    .filter((name) => /\.(conf|conflist|json)$/.test(name))
    .toSorted()
    .find((name) => name < own)
}
