import type { Address } from '../base/address.ts'
import type { Labels } from './metadata.ts'
import type { Transport } from './policy-port.ts'

/** A Service (core/v1), as far as it changes what a policy sees. */
export type Service = {
  readonly namespace: string
  readonly name: string
  readonly type: ServiceType
  /** Labels that its pods have, all of them; absent: its backends are named elsewhere. */
  readonly selector?: Labels
  readonly ports: readonly ServicePort[]
  /** None of a headless one. */
  readonly clusterAddresses: readonly Address[]
  /** `Cluster`: any node takes a client's packets in, and puts its own address in place of his. */
  readonly externalTrafficPolicy: 'Cluster' | 'Local'
}

export const serviceTypes = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const
export type ServiceType = (typeof serviceTypes)[number]

export type ServicePort = {
  readonly protocol: Transport
  readonly port: number
  /** A number, or the name that its pods have for one. */
  readonly target: number | string
}
