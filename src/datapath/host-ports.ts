import type { Element } from '../wire/nft/set.ts'
import type { Extras } from './extras.ts'

/** One port of the host that leads to a port of the pod. */
export type PortMapping = {
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  readonly hostPort: number
  readonly containerPort: number
  /** The one address of the host that it is bound to; null: every address. */
  readonly hostIp: string | null
}

export type HostPorts = { readonly mappings: readonly PortMapping[] }

export const hostPortElements = (_: Extras): readonly Element[] => []
