import type { NodeNews } from '../cluster/node-feed.ts'
import type { KubeClient } from '../kube/client.ts'
import type { Clock } from './clock.ts'
import type { AgentConfig } from './config.ts'
import type { Findings } from './findings.ts'
import { kubeClientFor, openKubernetes } from './kubernetes.ts'
import { oddNodes } from './node-findings.ts'
import { Rights } from './rights.ts'
import { type NodeSourceRun, openNodesFile, type SourceEars, sourceProblem } from './sources.ts'

/** A new address is there a moment after the old one went. */
const reopenMilliseconds = 1_000

export type NodeSourceOptions = {
  readonly config: Pick<AgentConfig, 'source' | 'flannelCompat' | 'policy'>
  readonly clock: Clock
  readonly random: () => number
  readonly findings: Findings
  readonly onNews: (news: NodeNews) => void
  /** Connections to the API are of no use any more; those of others neither. */
  readonly onReopened: () => void
}

/** The one source of nodes that the configuration names, opened and kept open. */
export class NodeSourceKeeper {
  readonly client: KubeClient | undefined
  readonly #options: NodeSourceOptions
  readonly #rights: Rights | undefined
  readonly #nodeProblems = new Map<string, readonly string[]>()
  #run: NodeSourceRun | undefined
  #cancelReopen: (() => void) | undefined

  /** Throws CredentialsRefusal, in words, if Kubernetes is to be asked and nobody says how. */
  constructor(options: NodeSourceOptions) {
    const { source, policy } = options.config
    this.#options = options
    if (source.kind === 'nodes-file') return
    this.client = kubeClientFor(source)
    const work = policy ? 'routes and policies' : 'routes'
    const onAnswer = (): void => this.#openAllowed()
    this.#rights = new Rights({ ...options, client: this.client, work, onAnswer })
  }

  /** False: RBAC denies what the agent can't do without. */
  get hasRights(): boolean {
    return this.#rights?.isEnough ?? true
  }

  status(): ReturnType<NodeSourceRun['status']> | undefined {
    return this.#run?.status()
  }

  /** Kubernetes is asked for nodes once RBAC allows all: before, nothing can be written. */
  open(): void {
    const { source } = this.#options.config
    if (source.kind === 'nodes-file') this.#run = openNodesFile(source.path, this.#ears())
    else this.#rights?.ask()
  }

  #openAllowed(): void {
    if (!this.client || this.#run || !this.hasRights) return
    const { flannelCompat } = this.#options.config
    const onNodeProblems = (name: string, problems: readonly string[]): void =>
      this.#tellOdd(name, problems)
    this.#run = openKubernetes(this.client, { ...this.#ears(), flannelCompat, onNodeProblems })
  }

  #ears(): SourceEars {
    const { clock, findings, onNews } = this.#options
    return {
      clock,
      onNews,
      onProblem: (text) => {
        findings.tell('source', text === undefined ? [] : [sourceProblem(text)])
        if (text !== undefined) this.#rights?.ask()
      },
    }
  }

  /**
   * A connection from an address that is gone stays silent for minutes before anybody notices, and
   * what it would tell may be the new address.
   */
  reopenLater(): void {
    if (!this.client || !this.#run) return
    this.#cancelReopen?.()
    this.#cancelReopen = this.#options.clock.after(reopenMilliseconds, () => {
      void this.#run?.close()
      this.#run = undefined
      this.client?.close()
      this.#openAllowed()
      this.#options.onReopened()
    })
  }

  async close(): Promise<void> {
    this.#cancelReopen?.()
    this.#rights?.close()
    await this.#run?.close()
    this.client?.close()
  }

  #tellOdd(name: string, problems: readonly string[]): void {
    if (problems.length > 0) this.#nodeProblems.set(name, problems)
    else this.#nodeProblems.delete(name)
    this.#options.findings.tell('node-objects', oddNodes(this.#nodeProblems))
  }
}
