import { accessSync, constants, existsSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import { CniFault, code, fault } from '../cni/fault.ts'
import { refuseUnsupported } from '../cni/unsupported.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { probeVeth } from '../wire/rtnl/link.ts'
import { type Call, dataDirOf, isHostLocal, isStatic, withExistingStore } from './context.ts'
import { delegate } from './delegate.ts'
import { refuseUnfit } from './describe.ts'
import { poolFaultOf } from './lease.ts'
import { withOverlay } from './overlay.ts'
import { refuseOlder } from './refusals.ts'
import { staticAddresses } from './static.ts'

/**
 * Whether an ADD could be served now. Runtimes ask every few seconds, so nothing here takes long or
 * writes.
 */
export function status(asked: Call): void {
  refuseOlder(asked, '1.1.0')
  const call = withReadyOverlay(asked)
  const { config } = call
  refuseUnsupported(config)
  refuseUnfit(config)
  refuseObstacle(call)
  refuseKernel(call)
  refuseDataDir(dataDirOf(config))
  if (isHostLocal(config.ipam)) refusePool(call)
  if (isStatic(config.ipam)) refuseStatic(call)
  delegate(call, 'STATUS')
}

/** This node's way out to the others, if the configuration names them. */
function withReadyOverlay(call: Call): Call {
  try {
    return withOverlay(call)
  } catch (refusal) {
    if (refusal instanceof CniFault && refusal.fault.code === code.hostConflict)
      throw unavailable(refusal.fault.details)
    throw refusal
  }
}

const unavailable = (details: string): Error =>
  fault(code.unavailable, 'the plugin cannot serve ADD now', details)

/** Specification 1.1, "Error": 51 also says that pods that run may not be reached. */
function refuseObstacle({ obstacle }: Call): void {
  const found = obstacle?.()
  if (found !== undefined)
    throw fault(code.unavailableAndDegraded, 'the plugin cannot serve ADD now', found)
}

export function refuseKernel({ native }: Call): void {
  let host: RouteSocket
  try {
    host = new RouteSocket(native, -1, 'the host')
    new FilterSocket(native).generation()
  } catch (refusal) {
    const reason = refusal instanceof Error ? refusal.message : String(refusal)
    throw unavailable(`${reason}; Tulle needs nf_tables in the kernel, and CAP_NET_ADMIN`)
  }
  if (!host.canMake(probeVeth()))
    throw unavailable('the kernel cannot make veth pairs (CONFIG_VETH); load the module veth')
}

export function refuseDataDir(dataDir: string): void {
  let folder = dataDir
  while (!existsSync(folder) && folder !== '/' && folder !== '.') folder = dirname(folder)
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
  } catch (refusal) {
    const reason = refusal instanceof Error ? refusal.message : String(refusal)
    throw unavailable(
      `leases cannot be kept in ${dataDir}: ${reason}; make it writable, or set "dataDir"`,
    )
  }
}

export function refusePool(call: Call): void {
  const probe = (full: string | undefined): void => {
    if (full) throw unavailable(full)
  }
  const answered = withExistingStore(call, (store) => ({ full: poolFaultOf(call, store) }))
  probe(answered ? answered.full : poolFaultOf(call, undefined))
}

/** The runtime may bring the addresses with each ADD: that none are configured is no fault. */
export function refuseStatic(call: Call): void {
  if (call.config.ipam?.addresses?.length) staticAddresses(call)
}
