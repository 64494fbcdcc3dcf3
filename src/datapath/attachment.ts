/**
 * One pod interface as Tulle keeps it: everything that DEL, GC, CHECK and a rebuild need to know
 * again, in plain text values, so that the store's record, a golden file and a person see the same
 * thing.
 */
export type Attachment = {
  readonly network: string
  readonly container: string
  readonly ifname: string
  readonly mode: 'routed' | 'bridge'
  /** A routed pod's address carries its subnet's prefix, as ptp's; absent: it stands alone. */
  readonly podPrefix?: 'subnet'
  /** Host end of the veth. */
  readonly link: string
  readonly mtuBytes: number
  readonly podMac: string
  readonly hostMac: string
  readonly bridge: BridgeWish | null
  readonly ips: readonly AttachedIp[]
  readonly routes: readonly AttachedRoute[]
  /** Destinations that keep the pod's own address; null: nothing is masqueraded. */
  readonly masqueradeExcept: readonly string[] | null
  readonly spoofCheck: boolean
  /** As the runtime names it; absent: of no Kubernetes pod, or on record since before it was. */
  readonly pod?: KubernetesPod
  /** Network policies hold for it: its addresses are in `policed4` and `policed6`. */
  readonly isPoliced?: boolean
  /** Of the call that recorded it, if a worker did: whoever repeats that call undoes it first. */
  readonly attempt?: string
}

export type KubernetesPod = {
  readonly namespace: string
  readonly name: string
  /** Tells it from an earlier pod of that name; not every runtime sends it. */
  readonly uid?: string
}

export type AttachedIp = {
  readonly address: string
  /** Prefix length of the pool's subnet. */
  readonly subnetBits: number
  readonly gateway: string | null
}

export type AttachedRoute = {
  readonly dst: string
  readonly gw: string | null
  readonly mtu?: number
  readonly advmss?: number
  readonly priority?: number
  readonly table?: number
  readonly scope?: number
}

export type BridgeWish = {
  readonly name: string
  /** The bridge carries these, with prefix length; empty: it is no gateway. */
  readonly addresses: readonly string[]
  readonly forceAddress: boolean
  readonly hairpin: boolean
  readonly isolated: boolean
  readonly promisc: boolean
}

export type AttachmentId = Pick<Attachment, 'network' | 'container' | 'ifname'>

/** "network/container/ifname": what people and comments call an attachment. */
export const nameOf = ({ network, container, ifname }: AttachmentId): string =>
  `${network}/${container}/${ifname}`
