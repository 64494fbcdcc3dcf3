import { formatAddress } from '../base/address.ts'
import { code, fault } from '../cni/fault.ts'
import { type Result, readResult } from '../cni/result.ts'
import { refuseUnsupported } from '../cni/unsupported.ts'
import type { Attachment } from '../datapath/attachment.ts'
import { type Claimed, differences, type Observed } from '../datapath/difference.ts'
import { holdingOf } from '../datapath/holding.ts'
import { identityOf } from '../datapath/identity.ts'
import { rulesOf, tablesOf } from '../datapath/ruleset.ts'
import { forwardingSysctls } from '../datapath/sysctls.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { Sysctls } from '../kernel/sysctl.ts'
import { checkChained } from './chained.ts'
import { type Call, isHostLocal, openPod, withExistingStore } from './context.ts'
import { delegate } from './delegate.ts'
import { checkExtras } from './extras.ts'
import { checkOverlay } from './overlay.ts'
import { targetOf } from './parts/part.ts'
import { checkFault, refuseOlder } from './refusals.ts'

/** Says what is no longer as ADD left it; silence means that all is well. Changes nothing. */
export function check(call: Call): void {
  const { config, id, native } = call
  refuseOlder(call, '0.4.0')
  if (config.prevResult === undefined || config.prevResult === null)
    throw fault(
      code.invalidConfig,
      'required prevResult missing',
      'CHECK needs the result of ADD as prevResult; the runtime keeps it',
    )
  if (config.ipam === undefined && config.mode === undefined) {
    checkChained(call)
    return
  }
  refuseUnsupported(config)
  const { pod, netnsFd } = openPod(call)
  const known = withExistingStore(call, (store) => ({
    attachment: store.attachment(id),
    extras: store.extras.of(id).find(({ plugin }) => plugin === call.plugin),
    held: store.heldBy(id).map(formatAddress),
  }))
  const attachment = known?.attachment
  if (!attachment)
    throw checkFault([
      `no lease of ${id.container} ${id.ifname} on network ${id.network} is on record`,
    ])
  const found = differences(
    attachment,
    claimedBy(call, readResult(config.prevResult)),
    observe(call, attachment, pod),
  )
  const lost = isHostLocal(config.ipam)
    ? attachment.ips
        .filter(({ address }) => !known.held.includes(address))
        .map(({ address }) => `${address} is not leased to this pod any more`)
    : []
  const target = targetOf(attachment, {
    netnsFd,
    pod,
    host: new RouteSocket(native, -1, 'the host'),
  })
  const extra = known.extras ? checkExtras(call, known.extras, target) : []
  const rest = [...missingFromFilter(call, attachment), ...checkOverlay(call)]
  const all = [...found, ...lost, ...rest, ...extra]
  if (all.length > 0) throw checkFault(all)
  delegate(call, 'CHECK')
}

/**
 * What prevResult says of our interface; plugins behind us may have changed it since, and are right
 * then.
 */
function claimedBy({ environment, id }: Call, { interfaces, ips, routes }: Result): Claimed {
  const index = interfaces.findIndex(
    ({ name, sandbox }) => name === environment.ifname && sandbox !== undefined,
  )
  const own = interfaces[index]
  return {
    ifname: id.ifname,
    mac: own?.mac,
    mtuBytes: own?.mtu,
    addresses: ips
      .filter((ip) => ip.interface === undefined || ip.interface === index)
      .map(({ address }) => address),
    destinations: routes.map(({ dst }) => dst),
  }
}

function observe({ native }: Call, attachment: Attachment, pod: RouteSocket): Observed {
  const host = new RouteSocket(native, -1, 'the host')
  const bridge = attachment.bridge ? host.link({ name: attachment.bridge.name }) : undefined
  return {
    host: sideOf(host, identityOf(attachment).link),
    pod: sideOf(pod, attachment.ifname),
    bridge,
    bridgeAddresses: bridge ? host.addresses(bridge.index) : [],
    sysctls: forwardingSysctls(attachment)
      .filter(({ path, value }) => new Sysctls(native, -1).read(path) !== value)
      .map(({ path }) => path.replaceAll('/', '.')),
  }
}

function sideOf(socket: RouteSocket, name: string): Observed['host'] {
  const link = socket.link({ name })
  if (!link) return undefined
  const routes = [...socket.routes(4), ...socket.routes(6)].filter(
    (route) => route.link === link.index,
  )
  const neighbours = socket.neighbours().filter((neighbour) => neighbour.link === link.index)
  return { link, addresses: socket.addresses(link.index), routes, neighbours }
}

function missingFromFilter({ native }: Call, attachment: Attachment): readonly string[] {
  const filter = new FilterSocket(native)
  const rules = tablesOf(attachment).flatMap((table) => {
    const there = filter.rules(table)
    return rulesOf(table, attachment)
      .filter((rule) => !there.includes(rule))
      .map((rule) => `nftables ${table.family} ${table.table} lacks the rule "${rule}"`)
  })
  const elements = filter
    .missingElements(holdingOf(attachment))
    .map(
      ({ family, table, set }) => `nftables ${family} ${table} set ${set} lacks the pod's element`,
    )
  return [...rules, ...elements]
}
