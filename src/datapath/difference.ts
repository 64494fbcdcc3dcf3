import { formatAddress, sameAddress } from '../base/address.ts'
import { formatMac, parseMac } from '../base/mac.ts'
import { formatPrefix, type Prefix, parsePrefix, samePrefix } from '../base/prefix.ts'
import { IFF_PROMISC, IFF_UP } from '../wire/rtnl/link.ts'
import type { ObservedNeighbour } from '../wire/rtnl/neighbour.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import { type ObservedRoute, tableMain } from '../wire/rtnl/route.ts'
import type { Attachment } from './attachment.ts'
import { prefixOf, type Side, type WiredRoute, wiringOf } from './wiring.ts'

/** One end as the kernel shows it; undefined where the link is not there. */
export type ObservedSide =
  | {
      readonly link: Link
      readonly addresses: readonly Prefix[]
      readonly routes: readonly ObservedRoute[]
      readonly neighbours: readonly ObservedNeighbour[]
    }
  | undefined

export type Observed = {
  readonly host: ObservedSide
  readonly pod: ObservedSide
  readonly bridge: Link | undefined
  readonly bridgeAddresses: readonly Prefix[]
  /** Sysctls that should be 1 and are not. */
  readonly sysctls: readonly string[]
}

/** What the runtime says the pod has, as the last plugin of the chain left it. */
export type Claimed = {
  readonly ifname: string
  readonly mac: string | undefined
  readonly mtuBytes: number | undefined
  readonly addresses: readonly string[]
  readonly destinations: readonly string[]
}

/**
 * Everything that is not as ADD left it, each a sentence; later plugins' changes that prevResult
 * tells of are not among them.
 */
export function differences(
  attachment: Attachment,
  claimed: Claimed,
  observed: Observed,
): readonly string[] {
  const { link, ifname } = attachment
  const wiring = wiringOf(attachment)
  const claimedRoutes = claimed.destinations.flatMap((text) => parsePrefix(text) ?? [])
  const isMoved = ({ destination }: WiredRoute): boolean =>
    attachment.routes.some(({ dst }) => samePrefix(prefixOf(dst), destination)) &&
    !claimedRoutes.some((claim) => samePrefix(claim, destination))
  const pod = { ...wiring.pod, routes: wiring.pod.routes.filter((route) => !isMoved(route)) }
  return [
    ...sideDifferences(`host end ${link}`, wiring.host, observed.host),
    ...hostEndDifferences(attachment, observed),
    ...sideDifferences(`pod's ${ifname}`, pod, observed.pod),
    ...claimDifferences(attachment, claimed, observed.pod),
    ...bridgeDifferences(attachment, observed),
    ...observed.sysctls.map((name) => `sysctl ${name} is not 1`),
  ]
}

function sideDifferences(name: string, wanted: Side, observed: ObservedSide): readonly string[] {
  if (!observed) return [`${name} is not there`]
  const { addresses, routes, neighbours } = lackingIn(observed, wanted)
  return [
    ...((observed.link.flags & IFF_UP) === 0 ? [`${name} is down`] : []),
    ...addresses.map((prefix) => `${name} lacks address ${formatPrefix(prefix)}`),
    ...routes.map(
      (route) => `${name} lacks route ${formatPrefix(route.destination)}${viaText(route)}`,
    ),
    ...neighbours.map(
      ({ address }) => `${name} lacks the permanent neighbour ${formatAddress(address)}`,
    ),
  ]
}

/** What of the wanted one end does not show. */
export function lackingIn(
  there: Omit<NonNullable<ObservedSide>, 'link'>,
  { addresses, routes, neighbours }: Side,
): Side {
  return {
    addresses: addresses.filter(
      (prefix) => !there.addresses.some((one) => samePrefix(one, prefix)),
    ),
    routes: routes.filter((route) => !there.routes.some((one) => isSameRoute(one, route))),
    neighbours: neighbours.filter(
      ({ address, mac }) =>
        !there.neighbours.some(
          (one) => one.permanent && sameAddress(one.address, address) && isSameMac(one.mac, mac),
        ),
    ),
  }
}

/** The host's end is ours; a plugin of the chain may give both ends another MTU. */
function hostEndDifferences(
  attachment: Attachment,
  { host, pod }: Pick<Observed, 'host' | 'pod'>,
): readonly string[] {
  if (!host) return []
  const { link, mtuBytes, hostMac, mode } = attachment
  const mac = host.link.mac ? formatMac(host.link.mac) : 'none'
  return [
    ...([mtuBytes, pod?.link.mtuBytes].includes(host.link.mtuBytes)
      ? []
      : [`host end ${link} has MTU ${host.link.mtuBytes}, not ${mtuBytes}`]),
    ...(mode === 'bridge' || mac === hostMac
      ? []
      : [`host end ${link} has MAC ${mac}, not ${hostMac}`]),
  ]
}

const viaText = ({ gateway }: WiredRoute): string =>
  gateway ? ` via ${formatAddress(gateway)}` : ''

const isSameRoute = (there: ObservedRoute, route: WiredRoute): boolean =>
  samePrefix(there.destination, route.destination) &&
  there.table === (route.table || tableMain) &&
  (route.gateway === undefined ||
    (there.gateway !== undefined && sameAddress(there.gateway, route.gateway)))

const isSameMac = (left: Uint8Array | undefined, right: Uint8Array): boolean =>
  left !== undefined && formatMac(left) === formatMac(right)

/** MAC and MTU by prevResult's word, if it has one: a plugin behind us may set them. */
function claimDifferences(
  { ips }: Attachment,
  claimed: Claimed,
  pod: ObservedSide,
): readonly string[] {
  if (!pod) return []
  const found: string[] = []
  const mac = claimed.mac === undefined ? undefined : parseMac(claimed.mac)
  const own = pod.link.mac ? formatMac(pod.link.mac) : 'none'
  if (mac && !isSameMac(pod.link.mac, mac))
    found.push(`pod's ${claimed.ifname} has MAC ${own}, not ${claimed.mac}`)
  if (claimed.mtuBytes && claimed.mtuBytes !== pod.link.mtuBytes)
    found.push(`pod's ${claimed.ifname} has MTU ${pod.link.mtuBytes}, not ${claimed.mtuBytes}`)
  for (const text of claimed.addresses) {
    const prefix = parsePrefix(text)
    if (prefix && !pod.addresses.some((there) => sameAddress(there.address, prefix.address)))
      found.push(`pod's ${claimed.ifname} lacks address ${text} of prevResult`)
  }
  for (const { address } of ips)
    if (
      claimed.addresses.length > 0 &&
      !claimed.addresses.some((text) => text.split('/')[0] === address)
    )
      found.push(`prevResult lacks ${address}, which is leased to this pod`)
  return found
}

function bridgeDifferences(
  { bridge: wish, link }: Attachment,
  { bridge, bridgeAddresses, host }: Observed,
): readonly string[] {
  if (!wish) return []
  if (!bridge) return [`bridge ${wish.name} is not there`]
  const port = host?.link.port
  return [
    ...((bridge.flags & IFF_UP) === 0 ? [`bridge ${wish.name} is down`] : []),
    ...(wish.promisc && (bridge.flags & IFF_PROMISC) === 0
      ? [`bridge ${wish.name} is not promiscuous`]
      : []),
    ...(host && host.link.master !== bridge.index ? [`${link} is not a port of ${wish.name}`] : []),
    ...(port && port.hairpin !== wish.hairpin ? [`port ${link} has hairpin ${port.hairpin}`] : []),
    ...(port && port.isolated !== wish.isolated
      ? [`port ${link} has isolation ${port.isolated}`]
      : []),
    ...wish.addresses
      .filter((text) => !bridgeAddresses.some((there) => samePrefix(there, prefixOf(text))))
      .map((text) => `bridge ${wish.name} lacks address ${text}`),
  ]
}
