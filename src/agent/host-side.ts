import { FilterSocket } from '../kernel/filter-socket.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { Sysctls } from '../kernel/sysctl.ts'
import type { Self } from '../overlay/fabric.ts'
import { OpenDatabases } from '../store/open-databases.ts'
import type { AgentConfig } from './config.ts'
import type { Drift } from './drift.ts'
import { HostLoop } from './host-loop.ts'
import type { Loop } from './loop.ts'
import { MasqueradeLoop } from './masquerade-loop.ts'
import { lossOf } from './nftables-notices.ts'
import type { OwnNative } from './own-native.ts'
import type { AgentParts, LoopSettings } from './parts.ts'
import { PodLoop } from './pod-loop.ts'
import { PolicySide, type PolicySideOptions } from './policy-side.ts'
import type { Snapshot } from './snapshot.ts'

export type HostSideOptions = LoopSettings & {
  readonly config: Pick<AgentConfig, 'nodeName' | 'dataDir' | 'overlay' | 'policy'>
  readonly native: AgentParts['native']
  readonly own: OwnNative
  readonly route: RouteSocket
  readonly snapshot: Snapshot
  readonly self: () => Self | undefined
  readonly drift: Drift
} & Pick<PolicySideOptions, 'client' | 'findings' | 'onConverged' | 'onRevisions'>

/**
 * What the host keeps for its pods: forwarding, what is not masqueraded, their own side, and what
 * policies let them send and be sent.
 */
export class HostSide {
  readonly #host: HostLoop
  readonly #masquerade: MasqueradeLoop
  readonly #pods: PodLoop
  readonly #filter: FilterSocket
  /** Absent: policies are not enforced. */
  readonly policy: PolicySide | undefined

  constructor(options: HostSideOptions) {
    const { config, native, own, route, snapshot, self, drift, ...settings } = options
    this.#filter = new FilterSocket(own.native)
    const stores = new OpenDatabases()
    this.#host = new HostLoop({ ...settings, sysctls: new Sysctls(native, -1), self, drift })
    this.#masquerade = new MasqueradeLoop({
      ...settings,
      ...config,
      native: own.native,
      snapshot,
      drift,
    })
    this.#pods = new PodLoop({
      ...settings,
      dataDir: config.dataDir,
      lock: native.lock,
      stores,
      route,
      filter: this.#filter,
      drift,
    })
    const { policy } = config
    if (policy) this.policy = new PolicySide({ ...options, policy, stores, filter: this.#filter })
  }

  get loops(): readonly Loop[] {
    const own = [this.#masquerade, this.#pods, this.#host].map(({ loop }) => loop)
    return [...own, ...(this.policy?.loops ?? [])]
  }

  start(): void {
    this.#pods.loop.mark()
    this.policy?.start()
  }

  /** Where this node is in the cluster has changed. */
  selfChanged(): void {
    this.#host.loop.mark()
  }

  /** Who is in the cluster has changed. */
  nodesChanged(): void {
    this.#masquerade.loop.mark()
    this.policy?.nodesChanged()
  }

  sysctlChanged(): void {
    this.#host.loop.mark()
  }

  /** A message of rtnetlink, and one of nf_tables, that was not of our own doing. */
  heardRoute(type: number, body: Uint8Array): void {
    this.#pods.notice(type, body)
  }

  heardNftables(type: number, body: Uint8Array): void {
    const loss = lossOf(type, body)
    if (loss === 'shared') this.#masquerade.disturbed()
    if (loss) this.#pods.loop.mark()
    this.policy?.heardNftables(type, body)
  }

  eventsLost(): void {
    this.#masquerade.disturbed()
    this.policy?.eventsLost()
    for (const loop of this.loops) loop.mark()
  }

  close(): void {
    this.policy?.close()
    this.#masquerade.close()
    this.#filter.close()
  }
}
