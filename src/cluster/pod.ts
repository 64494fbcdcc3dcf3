import type { Address } from '../base/address.ts'
import type { Labels } from './metadata.ts'
import type { Transport } from './policy-port.ts'

/** What policies and routes need of a Pod. */
export type Pod = {
  readonly namespace: string
  readonly name: string
  /**
   * As the kubelet knows the pod, and a runtime hands it to plugins; absent in a manifest that was
   * never applied.
   */
  readonly uid?: string
  readonly labels: Labels
  /** One a family at most; none before it has a sandbox (P42, P45). */
  readonly addresses: readonly Address[]
  readonly ports: readonly ContainerPort[]
  /** It has the node's addresses and is, to policies, the node (P33). */
  readonly isHostNetwork: boolean
  /** Succeeded or Failed: its addresses may be another pod's by now (P43). */
  readonly isDone: boolean
  /** Where it runs; absent before it is scheduled. */
  readonly node?: string
  /** That node's addresses. */
  readonly hostAddresses: readonly Address[]
  readonly serviceAccount: string
}

/** Declared by a container, or by an init container that goes on running beside it (P21). */
export type ContainerPort = {
  readonly protocol: Transport
  readonly port: number
  readonly name?: string
}

/** "shop/api-0" */
export const podKey = ({ namespace, name }: Pick<Pod, 'namespace' | 'name'>): string =>
  `${namespace}/${name}`
