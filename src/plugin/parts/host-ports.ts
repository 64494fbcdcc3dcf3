import type { HostPorts } from '../../datapath/host-ports.ts'
import type { Part } from './part.ts'

/** Ports of the host that lead to the pod. */
export const hostPorts: Part<HostPorts> = { wish: () => null }
