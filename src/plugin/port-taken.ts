import { type CniFault, code, fault } from '../cni/fault.ts'

/** @param owner network/container/ifname, as far as it is known. */
export const portTaken = (port: string, owner: string): CniFault =>
  fault(
    code.hostConflict,
    'host port is taken',
    `${port} of this host leads to ${owner} already; choose another hostPort, or remove that pod ` +
      '(GC does, if its runtime has forgotten it)',
  )
