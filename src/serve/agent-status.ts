// What the agent answers at GET /status on its unix socket, as JSON. Addresses and prefixes are
// text ("10.0.0.1", "10.244.1.0/24"), times are ISO 8601 in UTC.

export const statusSocketPath = '/run/tulle/agent.sock'

export type AgentStatus = {
  /** Of the executable that runs, "0.1.0". */
  readonly version: string
  readonly node: string
  readonly pid: number
  /** When this agent started. */
  readonly since: string
  /** Everything it has to do has been done once. */
  readonly ready: boolean
  readonly source: SourceStatus
  /** Absent until the source has told of this node. */
  readonly self?: SelfStatus
  /** Every other node, sorted by name. */
  readonly peers: readonly PeerStatus[]
  readonly leases: LeaseStatus
  /** Of the plugin, by launchers, since the agent started; absent: it serves none. */
  readonly calls?: CallStatus
  readonly drift: DriftStatus
  readonly convergence: ConvergenceStatus
  /** Absent: policies are not enforced. */
  readonly policy?: PolicyStatus
  readonly loops: readonly LoopStatus[]
  /** What is wrong now; empty is healthy. */
  readonly findings: readonly Finding[]
  /** The latest refusals, newest first; at most `lastErrorsMax`. */
  readonly lastErrors: readonly StatusError[]
}

export const lastErrorsMax = 20

/** `known`: the source is silent, and what was last known of it, on disk, is used. */
export type SourceStatus = {
  readonly kind: 'kubernetes' | 'nodes-file'
  /** The API server's URL, or the file's path. */
  readonly where: string
  readonly connected: boolean
  readonly using: 'nothing' | 'known' | 'live'
  /** Since the source was last heard; absent: never. */
  readonly lastContactSeconds?: number
  /** Why it is not connected, or what it said that could not be used. */
  readonly error?: string
}

export type SelfStatus = {
  readonly addresses: readonly string[]
  readonly podCIDRs: readonly string[]
  readonly uplinks: readonly UplinkStatus[]
  readonly devices: readonly DeviceStatus[]
  /** Of the pods' interfaces. */
  readonly podMtuBytes: number
}

export type UplinkStatus = {
  readonly family: 4 | 6
  readonly link: string
  readonly address: string
  readonly mtuBytes: number
}

export type DeviceStatus = {
  readonly name: string
  readonly vni: number
  readonly port: number
  readonly local: string
  readonly mac: string
  readonly mtuBytes: number
}

export type PeerStatus = {
  readonly name: string
  readonly addresses: readonly string[]
  readonly podCIDRs: readonly string[]
  readonly ways: readonly {
    readonly podCIDR: string
    readonly mode: 'direct' | 'vxlan'
    /** Family of the underlay that carries it. */
    readonly over: 4 | 6
  }[]
  /** It runs Flannel. */
  readonly isFlannel: boolean
  /** Why some or all of its pods can't be reached. */
  readonly problem?: string
  readonly probe?: ProbeStatus
}

/** The underlay self-test towards this peer. */
export type ProbeStatus = {
  readonly state: 'ok' | 'failing' | 'unknown'
  readonly at: string
  readonly rttMs?: number
  /** 0 … 100 */
  readonly lossPercent?: number
  /** What the answers mean, in a sentence. */
  readonly finding?: string
}

export type LeaseStatus = {
  readonly used: number
  readonly free: number
  readonly ranges: readonly RangeStatus[]
}

/** Counts stop at 2⁵³ − 1: a /64 has more. */
export type RangeStatus = {
  readonly subnet: string
  readonly used: number
  readonly free: number
}

/** `left`: to a process of their own, as the agent could not do them. */
export type CallStatus = {
  readonly served: number
  readonly failed: number
  readonly left: number
}

export type DriftStatus = {
  /** Things of the kernel or the disk that somebody else changed and the agent put back. */
  readonly repairs: number
  readonly byKind: Readonly<Record<string, number>>
  readonly lastRepair?: { readonly at: string; readonly what: string }
}

export type ConvergenceStatus = {
  /** From the news of a change to its being in the kernel; absent: nothing has changed yet. */
  readonly lastSeconds?: number
  readonly lastAt?: string
  /** Why the kernel is not yet what is wanted; absent: it is. */
  readonly pending?: string
}

export type PolicyStatus = {
  /** Why not all that is known is in the kernel yet; absent: it is. */
  readonly pending?: string
  /** resourceVersions up to which policies are in the kernel, by kind. */
  readonly revisions: Readonly<Record<string, string>>
  /** Of the connections that are allowed; each change that forbids something begins another. */
  readonly generation?: number
  /** From the news of the last change to its being in the kernel. */
  readonly lastSeconds?: number
  readonly lastAt?: string
  /** Since the first change that is not in the kernel yet was told. */
  readonly lagSeconds?: number
  readonly policies: number
  /** Those of which something is not in force. */
  readonly oddPolicies: number
  /** Of the cluster. */
  readonly pods: number
  /** Addresses of this node's pods that have a verdict. */
  readonly localAddresses: number
  /** "shop/api-0": pods of this node that the cluster has not told of yet; they are closed. */
  readonly waiting: readonly string[]
  readonly identities: number
  readonly profiles: number
  /** In sets and maps of nftables. */
  readonly elements: number
  readonly refused: readonly RefusedStatus[]
  /** Absent: no node ports are guarded. */
  readonly nodePortsRefused?: number
}

export type RefusedStatus = {
  /** `closed`: the pod's policies are not known yet; `audit`: only told of. */
  readonly action: 'deny' | 'audit' | 'closed'
  readonly direction: 'ingress' | 'egress'
  /** "shop/api"; of several, whose isolation it is together. */
  readonly policies: readonly string[]
  readonly packets: number
  readonly bytes: number
}

export type LoopStatus = {
  readonly name: string
  readonly runs: number
  readonly errors: number
  /** Runs that have failed since the last that did not. */
  readonly failuresInRow: number
  readonly lastSeconds?: number
}

export type Finding = {
  /** Kebab-case, "duplicate-pod-cidr": the same in Events, metrics and `tulle doctor`. */
  readonly check: string
  /** What it is about, where there can be several: a peer's name, a path. */
  readonly subject?: string
  readonly severity: 'warning' | 'error'
  /** The object of Kubernetes that it is about, if not this node. */
  readonly object?: FoundObject
  readonly meaning: string
  readonly remedy: string
  readonly since: string
}

export type FoundObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

export type StatusError = {
  readonly at: string
  /** Name of the loop or part. */
  readonly where: string
  readonly text: string
}
