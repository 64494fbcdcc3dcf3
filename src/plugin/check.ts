import { formatAddress } from '../base/address.ts'
import { code, fault } from '../cni/fault.ts'
import { type Result, readResult } from '../cni/result.ts'
import { refuseUnsupported } from '../cni/unsupported.ts'
import { isAtLeast } from '../cni/version.ts'
import type { Attachment } from '../datapath/attachment.ts'
import { type Claimed, differences, type Observed } from '../datapath/difference.ts'
import { holdingOf } from '../datapath/holding.ts'
import { identityOf } from '../datapath/identity.ts'
import { rulesOf, tablesOf } from '../datapath/ruleset.ts'
import { forwardingSysctls } from '../datapath/sysctls.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { Sysctls } from '../kernel/sysctl.ts'
import { type Call, isBuiltIn, openPod, withExistingStore } from './context.ts'
import { delegate } from './delegate.ts'

/** Says what is no longer as ADD left it; silence means that all is well. Changes nothing. */
export function check(call: Call): void {
  const { config, id } = call
  if (!isAtLeast(config.cniVersion, '0.4.0'))
    throw fault(
      code.incompatibleVersion,
      'config version does not allow CHECK',
      `CHECK came with CNI 0.4.0, the configuration is ${config.cniVersion}`,
    )
  if (config.prevResult === undefined || config.prevResult === null)
    throw fault(
      code.invalidConfig,
      'required prevResult missing',
      'CHECK needs the result of ADD as prevResult; the runtime keeps it',
    )
  if (config.ipam === undefined && config.mode === undefined) return
  refuseUnsupported(config)
  const { pod } = openPod(call)
  const known = withExistingStore(call, (store) => ({
    attachment: store.attachment(id),
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
  const lost = isBuiltIn(config.ipam)
    ? attachment.ips
        .filter(({ address }) => !known.held.includes(address))
        .map(({ address }) => `${address} is not leased to this pod any more`)
    : []
  const all = [...found, ...lost, ...missingFromFilter(call, attachment)]
  if (all.length > 0) throw checkFault(all)
  delegate(call, 'CHECK')
}

const checkFault = (found: readonly string[]): Error =>
  fault(
    code.checkFailed,
    "the pod's network is not as ADD left it",
    `${found.join('; ')}; delete the pod and let it be made again`,
  )

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
