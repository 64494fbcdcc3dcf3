import { formatAddress } from '../base/address.ts'
import { formatPrefix } from '../base/prefix.ts'
import { code, fault } from '../cni/fault.ts'
import { formatResult, present, readResult } from '../cni/result.ts'
import { nameOf } from '../datapath/attachment.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { builtInAddresses, builtInDns } from './built-in.ts'
import { type Call, dataDirOf, isHostLocal, withExistingStore, withStore } from './context.ts'
import { attachedRoute, type Given } from './describe.ts'
import { releaseAddresses, releaseOwn } from './detach.ts'
import { filesOf } from './host-local.ts'
import { startLife } from './lease.ts'
import { checkFault, refuseOlder } from './refusals.ts'
import { staticAddresses } from './static.ts'
import { refuseDataDir, refusePool, refuseStatic } from './status.ts'
import { validAttachments } from './valid.ts'

// host-local and static as plugins of their own, for a bridge or ptp that is another program. They
// touch no link, and need no namespace.

/** An address of each range set, or the static ones; the result as JSON. */
export function addIpam(call: Call): string {
  const { config } = call
  const routes = config.ipam?.routes ?? []
  for (const [at, route] of routes.entries()) attachedRoute(route, at)
  const dns = builtInDns(call)
  const ips = givenTo(call).map(({ prefix, gateway }) =>
    present({
      address: formatPrefix(prefix),
      gateway: gateway && formatAddress(gateway),
    }),
  )
  return formatResult(config.cniVersion, { interfaces: [], ips, routes, dns })
}

/** `static` keeps no book: what it gives is in the configuration. */
function givenTo(call: Call): readonly Given[] {
  if (!isHostLocal(call.config.ipam)) return staticAddresses(call)
  const host = new RouteSocket(call.native, -1, 'the host')
  return withStore(call, (store) => {
    startLife(store, host)
    return builtInAddresses(call, store, host)
  })
}

export function delIpam(call: Call): void {
  if (isHostLocal(call.config.ipam)) releaseOwn(call)
}

export function checkIpam(call: Call): void {
  const { config, id } = call
  refuseOlder(call, '0.4.0')
  if (isHostLocal(config.ipam)) {
    const held = withExistingStore(call, (store) => store.heldBy(id)) ?? []
    if (held.length === 0 && filesOf(call).length === 0)
      throw checkFault([`no lease of ${nameOf(id)} is on record`])
    return
  }
  if (config.prevResult === undefined || config.prevResult === null)
    throw fault(
      code.invalidConfig,
      'required prevResult missing',
      'CHECK needs the result of ADD as prevResult; the runtime keeps it',
    )
  const claimed = readResult(config.prevResult).ips.map(({ address }) => address)
  const lost = staticAddresses(call)
    .map(({ prefix }) => formatPrefix(prefix))
    .filter((address) => !claimed.includes(address))
  if (lost.length > 0)
    throw checkFault(lost.map((address) => `prevResult lacks ${address}, which static gives`))
}

/** Gives back what no attachment that the runtime lists holds. */
export function gcIpam(call: Call): void {
  const valid = validAttachments(call)
  if (!isHostLocal(call.config.ipam)) return
  const names = new Set(valid.map(nameOf))
  const containers = new Set(valid.map(({ container }) => container))
  withExistingStore(call, (store) => {
    for (const id of store.holders(call.id.network))
      if (!names.has(nameOf(id)) && !(id.ifname === '' && containers.has(id.container)))
        releaseAddresses(call, store, id)
  })
}

export function statusIpam(call: Call): void {
  refuseOlder(call, '1.1.0')
  if (!isHostLocal(call.config.ipam)) {
    refuseStatic(call)
    return
  }
  refuseDataDir(dataDirOf(call.config))
  refusePool(call)
}
