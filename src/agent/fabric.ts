import type { FabricSocket } from '../kernel/fabric-socket.ts'

/** The kernel's part of the way to other nodes; the simulation has a model of it. */
export type Fabric = Pick<FabricSocket, 'view' | 'observe' | 'ensureDevices' | 'apply'>
