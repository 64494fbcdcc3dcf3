import { code, fault } from '../cni/fault.ts'
import type { Result } from '../cni/result.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import type { LeaseStore } from '../store/lease-store.ts'
import { readResolvConf } from '../store/resolv-conf.ts'
import { type Call, isHostLocal, isStatic } from './context.ts'
import type { Given } from './describe.ts'
import { leaseBeside } from './host-local.ts'
import { staticAddresses } from './static.ts'

// The two IPAM plugins that Tulle is itself.

/** Addresses of the built-in IPAM; none where there is another, or none. */
export function builtInAddresses(
  call: Call,
  store: LeaseStore,
  host: RouteSocket,
): readonly Given[] {
  const refuse = (): void => refuseSecond(call, store)
  if (isHostLocal(call.config.ipam))
    return leaseBeside(call, { store, host, refuse }).map(({ address, range }) => ({
      prefix: { address, bits: range.subnet.bits },
      gateway: range.gateway,
    }))
  refuse()
  return isStatic(call.config.ipam) ? staticAddresses(call) : []
}

function refuseSecond({ id }: Call, store: LeaseStore): void {
  const there = store.attachment(id)
  if (!there && store.heldBy(id).length === 0) return
  const addresses = there?.ips.map(({ address }) => address).join(', ') || 'an address'
  throw fault(
    code.alreadyAttached,
    'container is attached already',
    `container ${id.container} has ${id.ifname} on network ${id.network} (${addresses}); ` +
      'call DEL first',
  )
}

export function builtInDns({ config }: Call): Result['dns'] {
  const { ipam } = config
  if (isStatic(ipam)) return ipam?.dns ?? {}
  const path = ipam?.resolvConf
  if (!path || !isHostLocal(ipam)) return {}
  try {
    return readResolvConf(path)
  } catch (refusal) {
    const reason = refusal instanceof Error ? refusal.message : String(refusal)
    throw fault(
      code.io,
      'cannot read ipam.resolvConf',
      `${path}: ${reason}; name a file like /etc/resolv.conf`,
    )
  }
}
