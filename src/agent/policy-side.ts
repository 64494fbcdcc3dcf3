import type { FilterSocket } from '../kernel/filter-socket.ts'
import { NodePortSocket } from '../kernel/node-port-socket.ts'
import { PolicySocket } from '../kernel/policy-socket.ts'
import type { KubeClient } from '../kube/client.ts'
import type { PolicyStatus } from '../serve/agent-status.ts'
import type { OpenDatabases } from '../store/open-databases.ts'
import { brisk } from './clock.ts'
import type { AgentConfig, PolicyConfig } from './config.ts'
import type { Drift } from './drift.ts'
import type { Findings } from './findings.ts'
import type { Loop } from './loop.ts'
import { NodePortLoop } from './node-port-loop.ts'
import type { OwnNative } from './own-native.ts'
import type { AgentParts, LoopSettings } from './parts.ts'
import { PolicyBook, type Revisions } from './policy-book.ts'
import { openPolicyFeeds, type PolicySourceRun } from './policy-feeds.ts'
import { openNoPolicies, openPolicyFiles } from './policy-files.ts'
import { oddPolicies, silentPolicySource } from './policy-findings.ts'
import { PolicyLoop } from './policy-loop.ts'
import { policyNoticeOf } from './policy-notices.ts'
import { policyStatus } from './policy-status.ts'
import type { Snapshot } from './snapshot.ts'

export type PolicySideOptions = LoopSettings & {
  readonly config: Pick<AgentConfig, 'nodeName' | 'dataDir'>
  readonly policy: PolicyConfig
  /** Absent: policies are those of files. */
  readonly client: KubeClient | undefined
  readonly native: AgentParts['native']
  readonly own: OwnNative
  readonly stores?: OpenDatabases
  readonly filter: FilterSocket
  readonly snapshot: Snapshot
  readonly drift: Drift
  readonly findings: Findings
  /** From the news of a change to the kernel. */
  readonly onConverged: (seconds: number) => void
  /** Other revisions are in force than before. */
  readonly onRevisions: () => void
}

/** Policies from their source to the kernel, and what the node's own ports let in. */
export class PolicySide {
  readonly #options: PolicySideOptions
  readonly #book: PolicyBook
  readonly #socket: PolicySocket
  readonly #nodePortSocket: NodePortSocket
  readonly #loop: PolicyLoop
  readonly #nodePorts: NodePortLoop
  #source: PolicySourceRun | undefined
  #revisions: Revisions = {}
  #last: Pick<PolicyStatus, 'lastSeconds' | 'lastAt'> = {}

  constructor(options: PolicySideOptions) {
    const { config, policy, native, own, clock, ...rest } = options
    this.#options = options
    this.#socket = new PolicySocket(own.native)
    this.#nodePortSocket = new NodePortSocket(own.native)
    this.#book = new PolicyBook(clock.now, () => this.#loop.loop.mark())
    this.#loop = new PolicyLoop({
      ...rest,
      clock: brisk(clock),
      ...config,
      lock: native.lock,
      book: this.#book,
      policies: this.#socket,
      isByAddress: options.client === undefined,
      onRun: () => this.#tellSource(),
      onEnforced: (revisions, seconds) => this.#enforced(revisions, seconds),
    })
    this.#nodePorts = new NodePortLoop({
      ...rest,
      clock,
      guarded: policy.nodePortGuard,
      socket: this.#nodePortSocket,
    })
  }

  get loops(): readonly Loop[] {
    return [this.#loop.loop, this.#nodePorts.loop]
  }

  /** Policies are in the kernel; or those of before hold on, as nobody tells of any. */
  get isReady(): boolean {
    return this.#loop.program !== undefined || this.#options.snapshot.using === 'known'
  }

  /** Those that are in the kernel, each kind by itself. */
  get revisions(): Revisions {
    return this.#revisions
  }

  start(): void {
    this.#nodePorts.loop.mark()
    this.#open()
  }

  /** Connections to the API are of no use any more; what is known stays known. */
  reopen(): void {
    void this.#source?.close()
    this.#open()
  }

  #open(): void {
    const { client, policy, clock } = this.#options
    const onProblems = (): void => this.#loop.loop.mark()
    if (client) this.#source = openPolicyFeeds(client, this.#book, onProblems)
    else if (policy.files === undefined) this.#source = openNoPolicies(this.#book)
    else this.#source = openPolicyFiles(policy.files, this.#book, { clock, onLooked: onProblems })
  }

  /** A message of nf_tables that was not of our own doing. */
  heardNftables(type: number, body: Uint8Array): void {
    const notice = policyNoticeOf(type, body)
    if (notice?.kind === 'node-ports') this.#nodePorts.disturbed()
    else if (notice) this.#loop.notice(notice)
  }

  eventsLost(): void {
    this.#loop.eventsLost()
    this.#nodePorts.disturbed()
  }

  /** Who is in the cluster has changed, or where that is known from. */
  nodesChanged(): void {
    this.#loop.loop.mark()
  }

  status(): PolicyStatus {
    const { clock, policy } = this.#options
    return policyStatus({
      book: this.#book,
      loop: this.#loop,
      socket: this.#socket,
      revisions: this.#revisions,
      last: this.#last,
      now: clock.now(),
      ...(policy.nodePortGuard.length > 0
        ? { nodePortsRefused: this.#nodePortSocket.refused() }
        : {}),
    })
  }

  /** The rules stay. */
  close(): void {
    void this.#source?.close()
    this.#loop.close()
    this.#socket.close()
    this.#nodePortSocket.close()
  }

  #enforced(revisions: Revisions, seconds: number | undefined): void {
    const { clock, findings, onConverged, onRevisions } = this.#options
    findings.tell('policies', oddPolicies(this.#book.odd.values()))
    if (seconds !== undefined) {
      this.#last = { lastSeconds: seconds, lastAt: new Date(clock.date()).toISOString() }
      onConverged(seconds)
    }
    if (revisions === this.#revisions) return
    this.#revisions = revisions
    onRevisions()
  }

  #tellSource(): void {
    const problems = this.#source?.problems() ?? []
    this.#options.findings.tell('policy-source', silentPolicySource(problems))
  }
}
