import type { NodeNews } from '../cluster/node-feed.ts'
import type { KernelWatch } from '../kernel/event-stream.ts'
import { FabricSocket } from '../kernel/fabric-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import type { KubeClient } from '../kube/client.ts'
import type { AgentStatus } from '../serve/agent-status.ts'
import { AgentMetrics } from '../serve/metrics.ts'
import { CollectLoop } from './collect-loop.ts'
import { Drift } from './drift.ts'
import { FabricLoop } from './fabric-loop.ts'
import { Findings } from './findings.ts'
import { HostSide } from './host-side.ts'
import { listenToKernel } from './kernel-events.ts'
import { KnownLoop } from './known-loop.ts'
import { Leases } from './leases.ts'
import { leavingsOf } from './leavings.ts'
import type { Loop, LoopOptions } from './loop.ts'
import { NodeLoop } from './node-loop.ts'
import { NodeSourceKeeper } from './node-source.ts'
import { noCluster, noPolicies } from './obstacle.ts'
import { OwnNative } from './own-native.ts'
import type { AgentParts, LoopSettings } from './parts.ts'
import { ReportLoop } from './report-loop.ts'
import { SelfTest } from './self-test.ts'
import { Snapshot } from './snapshot.ts'
import { agentStatus, LastErrors } from './status.ts'

/**
 * The agent's loops and what joins them: news goes into the snapshot and marks loops; the kernel's
 * events mark loops; loops read the snapshot. No loop calls another.
 */
export class Agent {
  readonly #parts: AgentParts
  readonly #own: OwnNative
  readonly #snapshot = new Snapshot()
  readonly #fabricSocket: FabricSocket
  readonly #route: RouteSocket
  readonly #drift: Drift
  readonly #findings: Findings
  readonly #errors: LastErrors
  readonly #fabric: FabricLoop
  readonly #host: HostSide
  readonly #known: KnownLoop
  readonly #node: NodeLoop
  readonly #collect: CollectLoop
  readonly #selfTest: SelfTest
  readonly #leases: Leases
  readonly #report: ReportLoop | undefined
  readonly metrics = new AgentMetrics()
  readonly #since: string
  readonly #source: NodeSourceKeeper
  #events: KernelWatch | undefined
  #cancelPatience: (() => void) | undefined
  #converged: AgentStatus['convergence'] = {}
  #isStopped = false

  constructor(parts: AgentParts) {
    const { config, native, clock, log } = parts
    this.#parts = parts
    this.#since = new Date(clock.date()).toISOString()
    this.#own = new OwnNative(native)
    this.#fabricSocket = new FabricSocket(this.#own.native)
    this.#route = new RouteSocket(this.#own.native, -1, 'the host')
    this.#errors = new LastErrors(clock)
    this.#drift = new Drift(clock, (kind, what, count) =>
      log.warn({ kind, count, what }, 'put back what somebody else changed'),
    )
    this.#findings = new Findings(clock, ({ come, gone }) => {
      for (const { check, meaning, remedy } of come) log.warn({ check, remedy }, meaning)
      for (const { check, meaning } of gone) log.info({ check }, `no longer: ${meaning}`)
      this.#report?.found(come)
      if (come.some(({ check }) => check === 'no-uplink')) this.#source.reopenLater()
    })
    this.#leases = new Leases(config.dataDir, native.lock)
    const settings = this.#loopSettings()
    this.#fabric = this.#makeFabric(settings)
    const { nodeName, stateDir } = config
    this.#known = new KnownLoop({ ...settings, nodeName, stateDir, snapshot: this.#snapshot })
    this.#node = this.#makeNode(settings)
    this.#collect = this.#makeCollect(settings)
    this.#selfTest = new SelfTest({
      ...settings,
      overlay: config.overlay,
      snapshot: this.#snapshot,
      fabric: this.#fabric,
      findings: this.#findings,
      onFault: (text) => log.debug(text),
    })
    this.#source = new NodeSourceKeeper({
      ...settings,
      config,
      findings: this.#findings,
      onNews: (news) => this.#take(news, 'live'),
      onReopened: () => this.#host.policy?.reopen(),
    })
    this.#host = new HostSide({
      ...settings,
      config,
      native,
      own: this.#own,
      route: this.#route,
      snapshot: this.#snapshot,
      self: () => this.#fabric.self,
      drift: this.#drift,
      findings: this.#findings,
      client: this.#source.client,
      onConverged: (seconds) => this.metrics.observePolicyConvergence(seconds),
      onRevisions: () => this.#report?.loop.mark(),
    })
    const { client } = this.#source
    if (client) this.#report = this.#makeReport(settings, client)
  }

  /** Listens first, so that nothing is missed between the first look and the first event. */
  start(): void {
    this.#events = listenToKernel({
      own: this.#own,
      onRoute: (type, body) => {
        if (this.#fabric.notice(type, body)?.kind === 'sysctl') this.#host.sysctlChanged()
        this.#host.heardRoute(type, body)
      },
      onNftables: (type, body) => this.#host.heardNftables(type, body),
      onLost: () => {
        this.#parts.log.warn('kernel events were lost: everything is looked at')
        this.#fabric.eventsLost()
        this.#host.eventsLost()
      },
      onBroken: (refusal) => this.#failed('events', refusal),
    })
    this.#host.start()
    if (this.#parts.isPackaged) this.#collect.loop.mark()
    this.#selfTest.start()
    this.#source.open()
    this.#waitForSource()
  }

  /** The data path is left as it is. */
  async stop(): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#cancelPatience?.()
    this.#events?.close()
    await this.#source.close()
    for (const loop of this.#loops) await loop.stop()
    await this.#selfTest.stop()
    this.#known.work()
    this.#host.close()
    this.#node.close()
    this.#fabricSocket.close()
    this.#route.close()
  }

  get isReady(): boolean {
    const { conflist } = this.#parts.config
    const hasPolicies = this.#host.policy?.isReady ?? true
    const isFit = this.#source.hasRights && this.#fabric.isReady && hasPolicies
    return isFit && (conflist === undefined || this.#node.isReady)
  }

  /** Why an ADD could not be served now, as nobody but the agent knows; undefined if it could. */
  get obstacle(): string | undefined {
    const source = this.#source.status()
    if (this.#snapshot.using === 'nothing') return noCluster(source)
    return this.#host.policy?.isReady === false ? noPolicies : undefined
  }

  status(): AgentStatus {
    const { config, version } = this.#parts
    const policy = this.#host.policy?.status()
    return agentStatus({
      config,
      version,
      since: this.#since,
      isReady: this.isReady,
      source: this.#source.status(),
      snapshot: this.#snapshot,
      fabric: this.#fabric,
      probeOf: (peer) => this.#selfTest.statusOf(peer),
      leases: this.#leases.status(this.#fabric.self?.podCIDRs ?? []),
      drift: this.#drift.status,
      ...(policy ? { policy } : {}),
      converged: this.#converged,
      loops: this.#loops.map(({ status }) => status),
      findings: this.#findings.all,
      lastErrors: this.#errors.all,
    })
  }

  get #loops(): readonly Loop[] {
    const report = this.#report ? [this.#report] : []
    const others = [this.#node, this.#known, this.#collect, ...report].map(({ loop }) => loop)
    return [this.#fabric.loop, ...this.#host.loops, ...others]
  }

  #loopSettings(): LoopSettings {
    const { clock, random, config } = this.#parts
    const onError: LoopOptions['onError'] = (name, error) => this.#failed(name, error)
    return { clock, random, onError, resyncMilliseconds: config.resyncSeconds * 1000 }
  }

  #failed(where: string, error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    this.#errors.add(where, text)
    this.#parts.log.error({ loop: where, err: error }, text)
  }

  #makeFabric(settings: LoopSettings): FabricLoop {
    const { config } = this.#parts
    return new FabricLoop({
      ...settings,
      nodeName: config.nodeName,
      overlay: config.overlay,
      snapshot: this.#snapshot,
      fabric: this.#fabricSocket,
      indexOf: (name) => this.#route.link({ name })?.index,
      drift: this.#drift,
      findings: this.#findings,
      onConverged: (seconds) => this.#onConverged(seconds),
      onSelf: () => {
        this.#selfTest.mark()
        this.#host.selfChanged()
        this.#node.loop.mark()
        this.#report?.loop.mark()
      },
      onReady: () => this.#node.loop.mark(),
    })
  }

  #makeNode(settings: LoopSettings): NodeLoop {
    const { config, isPackaged } = this.#parts
    return new NodeLoop({
      ...settings,
      config,
      isPackaged,
      snapshot: this.#snapshot,
      self: () => this.#fabric.self,
      leases: (podCIDRs) => this.#leases.status(podCIDRs),
      isFabricReady: () => this.#fabric.isReady,
      drift: this.#drift,
      findings: this.#findings,
      onReady: () => this.#report?.loop.mark(),
    })
  }

  #makeCollect(settings: LoopSettings): CollectLoop {
    const { config, native, log } = this.#parts
    return new CollectLoop({
      ...settings,
      ...leavingsOf(config, { native, route: this.#route }),
      onCollected: ({ container, ifname, link }) =>
        log.info({ container, ifname, link }, 'collected what a gone pod left'),
    })
  }

  #makeReport(settings: LoopSettings, client: KubeClient): ReportLoop {
    const { nodeName, flannelCompat } = this.#parts.config
    return new ReportLoop({
      ...settings,
      client,
      nodeName,
      isReady: () => this.#node.isReady,
      findings: () => this.#findings.all,
      flannelDevices: () => (flannelCompat ? this.#fabric.devices : undefined),
      policyRevisions: () => this.#host.policy?.revisions,
    })
  }

  #onConverged(seconds: number): void {
    this.metrics.observeConvergence(seconds)
    const lastAt = new Date(this.#parts.clock.date()).toISOString()
    this.#converged = { lastSeconds: seconds, lastAt }
  }

  #take(news: NodeNews, from: 'known' | 'live'): void {
    const before = this.#snapshot.using
    const changed = this.#snapshot.take(news, from)
    if (this.#snapshot.using !== before) this.#fabric.sourceChanged()
    if (changed.size === 0) return
    this.#fabric.nodesChanged(changed)
    this.#selfTest.mark()
    this.#host.nodesChanged()
    this.#node.loop.mark()
    if (from === 'live') this.#known.mark()
  }

  /** After a start while nobody answers: what was last known is better than no way at all. */
  #waitForSource(): void {
    const { clock, config, log } = this.#parts
    if (this.#snapshot.using === 'live') return
    this.#cancelPatience = clock.after(config.patienceSeconds * 1000, () => {
      if (this.#snapshot.using !== 'nothing') return
      const { nodes, why } = this.#known.read()
      if (why !== undefined) log.warn(why)
      if (!nodes) return
      log.warn({ nodes: nodes.length }, 'the source is silent: the last known nodes are used')
      this.#take({ kind: 'all', nodes }, 'known')
    })
  }
}
