import { readFileSync } from 'node:fs'
import type { ClusterNode } from '../cluster/node.ts'
import { podMtuBytes as podMtuOf } from '../overlay/device.ts'
import type { Self } from '../overlay/fabric.ts'
import type { OverlayOptions } from '../overlay/options.ts'
import type { Way, Woven } from '../overlay/peer.ts'
import { parseChecksumErrors, probePort } from '../overlay/probe.ts'
import { type ProbePeer, type ProbeView, peerOf, selfEnds } from '../overlay/probe-view.ts'
import type { ProbeStatus } from '../serve/agent-status.ts'
import { type OpenProbeSocket, openProbeSocket } from '../serve/probe-socket.ts'
import type { Clock } from './clock.ts'
import type { Findings, Found } from './findings.ts'
import type { Wait } from './probe-examination.ts'
import { type LoopTimings, ProbeLoop, type ProbeReport } from './probe-loop.ts'

export type SelfTestOptions = {
  readonly clock: Clock
  readonly random: () => number
  readonly overlay: OverlayOptions
  readonly snapshot: { readonly nodes: ReadonlyMap<string, ClusterNode> }
  /** `self` is undefined until the source has told of this node. */
  readonly fabric: {
    readonly self: Self | undefined
    readonly weave: { readonly nodes: ReadonlyMap<string, Woven> }
  }
  readonly findings: Findings
  readonly onFault: (text: string) => void
  /** For tests; else the machine's. */
  readonly open?: OpenProbeSocket
  readonly checksumErrors?: () => number
  readonly timings?: Partial<LoopTimings>
}

/** The nodes change one by one, and often many in a second. */
const settleMilliseconds = 1_000
/** The same of more nodes is one finding: what they have in common is here, or in between. */
const alikeMax = 5

/** Nodes, ways and this node's own place are values: the same one says the same. */
type Made = { readonly of: Parameters<typeof peerOf>[1]; readonly peer: ProbePeer }
const noWays: readonly Way[] = []

/** The underlay self-test as a part of the agent: what it knows of nodes goes in, findings out. */
export class SelfTest {
  readonly #options: SelfTestOptions
  readonly #loop: ProbeLoop
  readonly #statuses = new Map<string, ProbeStatus>()
  readonly #found = new Map<string, readonly Found[]>()
  /** Of thousands of nodes few change at a time. */
  readonly #peers = new WeakMap<ClusterNode, Made>()
  #cancelUpdate: (() => void) | undefined
  #running: Promise<void> | undefined

  constructor(options: SelfTestOptions) {
    const { clock, random, onFault, timings } = options
    this.#options = options
    this.#loop = new ProbeLoop({
      open: options.open ?? openProbeSocket,
      now: clock.now,
      random,
      checksumErrors: options.checksumErrors ?? readChecksumErrors,
      date: () => new Date(clock.date()).toISOString(),
      wait: waitOn(clock),
      onFault,
      onReport: (report) => this.#take(report),
      ...(timings ? { timings } : {}),
    })
  }

  start(): void {
    this.#running ??= this.#loop.run()
  }

  /** This node or others changed; looked at a second later, however often it is called. */
  mark(): void {
    this.#cancelUpdate ??= this.#options.clock.after(settleMilliseconds, () => {
      this.#cancelUpdate = undefined
      this.#update()
    })
  }

  statusOf(peer: string): ProbeStatus | undefined {
    return this.#statuses.get(peer)
  }

  /** May be called twice. */
  async stop(): Promise<void> {
    this.#cancelUpdate?.()
    this.#loop.close()
    await this.#running
  }

  #update(): void {
    const view = this.#view()
    if (!view) return
    const names = new Set(view.peers.map(({ name }) => name))
    for (const name of this.#statuses.keys()) if (!names.has(name)) this.#statuses.delete(name)
    for (const name of this.#found.keys()) if (!names.has(name)) this.#found.delete(name)
    this.#loop.update(view)
    this.#tell()
  }

  /** Whom we know, and who runs Tulle: Flannel answers nothing. */
  #view(): ProbeView | undefined {
    const { overlay, snapshot, fabric } = this.#options
    const { self, weave } = fabric
    if (!self) return undefined
    const podMtuBytes = podMtuOf(self, overlay)
    const others = [...snapshot.nodes.values()].filter(
      (node) => node.name !== self.name && !node.flannel,
    )
    return {
      name: self.name,
      ends: selfEnds(self),
      peers: others.map((node) =>
        this.#peerOf(node, { self, ways: weave.nodes.get(node.name)?.ways ?? noWays, podMtuBytes }),
      ),
      numbers: { vni: overlay.vni, port: overlay.port, probePort },
    }
  }

  #peerOf(node: ClusterNode, of: Made['of']): ProbePeer {
    const known = this.#peers.get(node)
    if (known && known.of.self === of.self && known.of.ways === of.ways) return known.peer
    const peer = peerOf(node, of)
    this.#peers.set(node, { of, peer })
    return peer
  }

  #take({ peer, status, diagnoses }: ProbeReport): void {
    this.#statuses.set(peer, status)
    const before = this.#found.get(peer) ?? []
    const found = diagnoses.map(({ check, severity, found: seen, meaning, remedy }): Found => {
      // Numbers differ from round to round; the finding is the same, and is told once.
      const known = before.find((one) => one.check === check && one.severity === severity)
      return known ?? { check, subject: peer, severity, meaning: `${seen}: ${meaning}`, remedy }
    })
    if (found.length > 0) this.#found.set(peer, found)
    else this.#found.delete(peer)
    if (found.length > 0 || before.length > 0) this.#tell()
  }

  #tell(): void {
    this.#options.findings.tell('self-test', joined([...this.#found.values()].flat()))
  }
}

/** What many nodes have alike, said once of all of them. */
function joined(all: readonly Found[]): readonly Found[] {
  const groups = Map.groupBy(all, ({ check }) => check)
  return [...groups.values()].flatMap((group) => {
    const [first] = group
    if (!first || group.length <= alikeMax) return group
    return [{ ...first, subject: `more than ${alikeMax} nodes` }]
  })
}

/** Of this network namespace; a system without the file counts none. */
function readChecksumErrors(): number {
  try {
    return parseChecksumErrors(readFileSync('/proc/self/net/snmp', 'utf8'))
  } catch {
    return 0
  }
}

/** A promise that ends with the time or with the signal, and leaves no timer behind. */
export const waitOn =
  (clock: Clock): Wait =>
  (milliseconds, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve()
        return
      }
      const cancel = clock.after(milliseconds, () => {
        signal?.removeEventListener('abort', stop)
        resolve()
      })
      const stop = (): void => {
        cancel()
        resolve()
      }
      signal?.addEventListener('abort', stop, { once: true })
    })
