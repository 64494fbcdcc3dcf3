import { formatAddress } from '../base/address.ts'
import { formatPrefix } from '../base/prefix.ts'
import type { ClusterNode } from '../cluster/node.ts'
import { podMtuBytes } from '../overlay/device.ts'
import type { Self, TunnelDevice } from '../overlay/fabric.ts'
import type { OverlayOptions } from '../overlay/options.ts'
import type { Woven } from '../overlay/peer.ts'
import {
  type AgentStatus,
  type ConvergenceStatus,
  lastErrorsMax,
  type PeerStatus,
  type ProbeStatus,
  type SelfStatus,
  type SourceStatus,
  type StatusError,
} from '../serve/agent-status.ts'
import type { Clock } from './clock.ts'
import type { AgentConfig } from './config.ts'
import type { FabricLoop } from './fabric-loop.ts'
import type { Snapshot } from './snapshot.ts'

// From what the loops know to what people and scrapers are told.

export type StatusSource = Pick<
  AgentStatus,
  'version' | 'since' | 'leases' | 'drift' | 'policy' | 'loops' | 'findings' | 'lastErrors'
> & {
  readonly config: Pick<AgentConfig, 'nodeName' | 'overlay'>
  readonly isReady: boolean
  /** Undefined before it was opened. */
  readonly source: Omit<SourceStatus, 'using'> | undefined
  readonly snapshot: Snapshot
  readonly fabric: FabricLoop
  readonly converged: ConvergenceStatus
  readonly probeOf: (peer: string) => ProbeStatus | undefined
}

export function agentStatus(given: StatusSource): AgentStatus {
  const { config, fabric, snapshot, source, version, since, leases, drift, loops } = given
  const { findings, lastErrors, policy } = given
  const { self, devices, weave } = fabric
  return {
    version,
    node: config.nodeName,
    pid: process.pid,
    since,
    ready: given.isReady,
    source: {
      ...(source ?? { kind: 'nodes-file', where: '', connected: false }),
      using: snapshot.using,
    },
    ...(self ? { self: selfStatus(self, devices, config.overlay) } : {}),
    peers: peerStatuses(given, weave.nodes),
    leases,
    drift,
    convergence: { ...given.converged, ...pendingOf(given) },
    ...(policy ? { policy } : {}),
    loops,
    findings,
    lastErrors,
  }
}

function pendingOf({ snapshot, fabric, lastErrors }: StatusSource): ConvergenceStatus {
  if (snapshot.using === 'nothing') return { pending: 'nothing is known of the cluster' }
  if (!fabric.isReady) return { pending: 'this node is not known yet' }
  const refusal = lastErrors.find(({ where }) => where === 'fabric')
  return fabric.loop.status.failuresInRow > 0 ? { pending: refusal?.text ?? 'refused' } : {}
}

const selfStatus = (
  self: Self,
  devices: readonly TunnelDevice[],
  options: OverlayOptions,
): SelfStatus => ({
  addresses: underlaysOf(self).map(({ address }) => formatAddress(address)),
  podCIDRs: self.podCIDRs.map(formatPrefix),
  uplinks: underlaysOf(self).map(({ address, link, mtuBytes }) => ({
    family: address.family,
    link,
    address: formatAddress(address),
    mtuBytes,
  })),
  devices: devices.map(({ name, vni, port, local, mac, mtuBytes }) => ({
    name,
    vni,
    port,
    local: formatAddress(local),
    mac,
    mtuBytes,
  })),
  podMtuBytes: podMtuBytes(self, options),
})

const underlaysOf = ({ underlay }: Self) =>
  [underlay[4], underlay[6]].flatMap((one) => (one ? [one] : []))

function peerStatuses(
  { snapshot, config, probeOf }: StatusSource,
  woven: ReadonlyMap<string, Woven>,
): readonly PeerStatus[] {
  return [...snapshot.nodes.values()]
    .filter(({ name }) => name !== config.nodeName)
    .toSorted((left, right) => (left.name < right.name ? -1 : 1))
    .map((node) => peerStatus(node, woven.get(node.name), probeOf(node.name)))
}

const peerStatus = (
  node: ClusterNode,
  woven: Woven | undefined,
  probe: ProbeStatus | undefined,
): PeerStatus => ({
  name: node.name,
  addresses: node.addresses.map(formatAddress),
  podCIDRs: node.podCIDRs.map(formatPrefix),
  ways: (woven?.ways ?? []).map(({ podCIDR, mode, over }) => ({
    podCIDR: formatPrefix(podCIDR),
    mode,
    over,
  })),
  isFlannel: node.flannel !== undefined,
  ...(woven?.problem === undefined ? {} : { problem: woven.problem }),
  ...(probe ? { probe } : {}),
})

/** The latest refusals, newest first. */
export class LastErrors {
  readonly #clock: Clock
  readonly #errors: StatusError[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get all(): AgentStatus['lastErrors'] {
    return this.#errors
  }

  add(where: string, text: string): void {
    this.#errors.unshift({ at: new Date(this.#clock.date()).toISOString(), where, text })
    this.#errors.splice(lastErrorsMax)
  }
}
