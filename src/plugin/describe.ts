import { type Address, formatAddress, offsetAddress, parseAddress } from '../base/address.ts'
import { formatMac, parseMac } from '../base/mac.ts'
import { boundsOf, formatPrefix, networkOf, type Prefix, parsePrefix } from '../base/prefix.ts'
import { annotationOf, macAnnotation } from '../cni/annotations.ts'
import { describe as show } from '../cni/config.ts'
import type { Environment } from '../cni/environment.ts'
import { code, fault } from '../cni/fault.ts'
import type { NetworkConfig, RouteConfig } from '../cni/network-config.ts'
import { present, type Result } from '../cni/result.ts'
import type {
  AttachedIp,
  AttachedRoute,
  Attachment,
  AttachmentId,
  BridgeWish,
  KubernetesPod,
} from '../datapath/attachment.ts'
import { identityOf } from '../datapath/identity.ts'
import { prefixBitsOf } from '../datapath/wiring.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import { isOurself } from './context.ts'

/** An address that IPAM gave, built in or not. */
export type Given = { readonly prefix: Prefix; readonly gateway: Address | undefined }

export type Source = {
  readonly id: AttachmentId
  readonly config: NetworkConfig
  readonly environment: Environment
  readonly ips: readonly Given[]
  /** Routes of the IPAM's result, or of the `ipam` key. */
  readonly routes: readonly RouteConfig[]
  /** MTU of the node's way out. */
  readonly uplinkMtuBytes: number
}

const ipv6MtuMin = 1280 // RFC 8200 section 5

/**
 * The attachment that a request asks for; every refusal names the key, what was found and what is
 * accepted.
 */
export function describeAttachment(source: Source): Attachment {
  const { id, config } = source
  const identity = identityOf(id)
  const mode = config.mode ?? 'routed'
  const ips = source.ips.map((given) => attachedIp(given, config))
  const mtuBytes = config.mtu || source.uplinkMtuBytes
  if (mtuBytes < ipv6MtuMin && ips.some(({ address }) => address.includes(':')))
    throw invalid('mtu', mtuBytes, `at least ${ipv6MtuMin} bytes, as the pod has an IPv6 address`)
  return {
    ...id,
    mode,
    ...(config.podPrefix ? { podPrefix: config.podPrefix } : {}),
    link: identity.link,
    mtuBytes,
    podMac: requestedMac(source) ?? identity.podMac,
    hostMac: identity.hostMac,
    bridge: mode === 'bridge' ? bridgeWish(config, ips) : null,
    ips,
    routes: routesOf(source, ips),
    masqueradeExcept: config.ipMasq ? listedExceptions(config) : null,
    spoofCheck: config.spoofCheck ?? true,
    ...present({ pod: podOf(source.environment) }),
    ...(config.policy?.enforce ? { isPoliced: true } : {}),
  }
}

function podOf({ args }: Environment): KubernetesPod | undefined {
  const namespace = args.get('K8S_POD_NAMESPACE')
  const name = args.get('K8S_POD_NAME')
  if (!namespace || !name) return undefined
  return { namespace, name, ...present({ uid: args.get('K8S_POD_UID') || undefined }) }
}

/**
 * A bridge that is a gateway needs an address: without one from IPAM, the first of the subnet (as
 * the reference plugin).
 */
function attachedIp({ prefix, gateway }: Given, config: NetworkConfig): AttachedIp {
  const isGateway = config.mode === 'bridge' && (config.isGateway || config.isDefaultGateway)
  const fallback = isGateway ? offsetAddress(boundsOf(prefix).first, 1n) : undefined
  const chosen = gateway ?? fallback
  return {
    address: formatAddress(prefix.address),
    subnetBits: prefix.bits,
    gateway: chosen ? formatAddress(chosen) : null,
  }
}

const hasHostPorts = ({ runtimeConfig }: NetworkConfig): boolean =>
  (runtimeConfig?.portMappings?.length ?? 0) > 0

export const bridgeNameOf = ({ bridge }: NetworkConfig): string => bridge ?? 'cni0'

function bridgeWish(config: NetworkConfig, ips: readonly AttachedIp[]): BridgeWish {
  const isGateway = config.isGateway || config.isDefaultGateway
  const addresses = isGateway
    ? ips.flatMap(({ gateway, subnetBits }) =>
        gateway === null ? [] : [`${gateway}/${subnetBits}`],
      )
    : []
  return {
    name: bridgeNameOf(config),
    addresses: [...new Set(addresses)],
    forceAddress: config.forceAddress ?? false,
    // With br_netfilter, what a pod sends to its own host port comes back by the same bridge port.
    hairpin: config.hairpinMode ?? (hasHostPorts(config) && !config.promiscMode),
    isolated: (config.portIsolation ?? false) || config.ingressPolicy === 'isolated',
    promisc: config.promiscMode ?? false,
  }
}

const anywhere = { 4: '0.0.0.0/0', 6: '::/0' } as const
const familyOf = (text: string): 4 | 6 => (text.includes(':') ? 6 : 4)

/**
 * The configured routes, and a default route where one is due: a bridge that is the default
 * gateway, a routed pod without routes.
 */
function routesOf(
  { config, routes, ips: given }: Source,
  ips: readonly AttachedIp[],
): readonly AttachedRoute[] {
  const wanted = routes.map((route, at) => attachedRoute(route, at))
  const isDue = (family: 4 | 6): boolean =>
    config.mode === 'bridge' || config.podPrefix === 'subnet'
      ? config.isDefaultGateway === true
      : !wanted.some(({ dst }) => familyOf(dst) === family)
  const families = new Set(given.map(({ prefix }) => prefix.address.family))
  const defaults = [...families]
    .filter(isDue)
    .filter((family) => !wanted.some(({ dst }) => dst === anywhere[family]))
    .map((family): AttachedRoute => {
      const own = ips.find(({ address }) => familyOf(address) === family)
      return { dst: anywhere[family], gw: config.mode === 'bridge' ? (own?.gateway ?? null) : null }
    })
  return [...wanted, ...defaults]
}

export function attachedRoute(route: RouteConfig, at: number): AttachedRoute {
  const destination = parsePrefix(route.dst)
  if (!destination)
    throw invalid(`ipam.routes[${at}].dst`, route.dst, 'a network such as 0.0.0.0/0')
  const gateway = route.gw ? parseAddress(route.gw) : undefined
  if (route.gw && gateway?.family !== destination.address.family)
    throw invalid(`ipam.routes[${at}].gw`, route.gw, `an IPv${destination.address.family} address`)
  const { mtu, advmss, priority, table, scope } = route
  return {
    dst: formatPrefix(networkOf(destination)),
    gw: gateway ? formatAddress(gateway) : null,
    ...present({ mtu, advmss, priority, table, scope }),
  }
}

function listedExceptions({ nonMasqueradeCIDRs = [] }: NetworkConfig): readonly string[] {
  return nonMasqueradeCIDRs.map((text, at) => {
    const prefix = parsePrefix(text)
    if (prefix) return formatPrefix(networkOf(prefix))
    throw invalid(`nonMasqueradeCIDRs[${at}]`, text, 'a network such as 10.0.0.0/8')
  })
}

/**
 * The capability wins over args.cni, and that over CNI_ARGS (CNI conventions); between the first
 * two comes what the pod asks for itself.
 */
function requestedMac({ config, environment }: Source): string | undefined {
  const sources = [
    ['runtimeConfig.mac', config.runtimeConfig?.mac],
    [`annotation ${macAnnotation}`, annotationOf(config, macAnnotation)],
    ['args.cni.mac', config.args?.cni?.mac],
    ['CNI_ARGS MAC', environment.args.get('MAC')],
    ['mac', config.mac],
  ] as const
  const [key, text] = sources.find(([, value]) => value) ?? []
  if (!key || !text) return undefined
  if (!parseMac(text)) throw invalid(key, text, 'a unicast MAC address such as 0a:58:0a:f4:01:05')
  return text.toLowerCase().replaceAll('-', ':')
}

const invalid = (path: string, found: unknown, accepted: string): Error =>
  fault(
    code.invalidConfig,
    'invalid network configuration',
    `${path} is ${show(found)}; accepted: ${accepted}`,
  )

/** Refuses combinations that no attachment can have, before anything is done. */
export function refuseUnfit(config: NetworkConfig): void {
  const { mode, promiscMode, hairpinMode, ipam, cniVersion } = config
  const hasIpam = Boolean(ipam?.type)
  if (ipam && !hasIpam && Object.keys(ipam).length > 0)
    throw invalid('ipam.type', ipam.type, '"host-local", or the name of an IPAM plugin in CNI_PATH')
  if (ipam?.type && isOurself(ipam.type, config))
    throw invalid('ipam.type', ipam?.type, '"host-local", or an IPAM plugin other than this one')
  if (!hasIpam && mode !== 'bridge')
    throw invalid(
      'ipam',
      ipam,
      'an IPAM such as {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]]}; ' +
        'only mode "bridge" works without addresses',
    )
  if (!hasIpam && cniVersion < '0.3.0')
    throw invalid('ipam', ipam, `an IPAM: a result of CNI ${cniVersion} must carry an address`)
  if (mode === 'bridge' && promiscMode && hairpinMode)
    throw invalid('promiscMode', true, 'only one of hairpinMode and promiscMode')
  if (!hasIpam && config.policy?.enforce)
    throw invalid('policy.enforce', true, 'false, or an IPAM: policies hold for addresses')
}

export type ResultSource = Pick<Source, 'config' | 'environment'> & {
  /** DNS settings of the IPAM's result. */
  readonly dns: Result['dns']
  /** As the kernel shows it: a bridge that was there before has its own. */
  readonly bridgeLink: Pick<Link, 'mac' | 'mtuBytes'> | undefined
}

/** The result of ADD, in the shape of CNI 1.1.0. */
export function resultOf(attachment: Attachment, source: ResultSource): Result {
  const { config, environment, dns, bridgeLink } = source
  const { bridge, link, hostMac, podMac, ifname, mtuBytes, ips } = attachment
  const interfaces = [
    { name: link, mac: hostMac, mtu: mtuBytes },
    { name: ifname, mac: podMac, mtu: mtuBytes, sandbox: environment.netns },
  ]
  const own = config.dns && Object.keys(config.dns).length > 0 ? config.dns : undefined
  return {
    interfaces: bridge ? [{ name: bridge.name, ...shown(bridgeLink) }, ...interfaces] : interfaces,
    ips: ips.map((ip) =>
      present({
        address: `${ip.address}/${prefixBitsOf(attachment, ip)}`,
        gateway: ip.gateway ?? undefined,
        interface: bridge ? 2 : 1,
      }),
    ),
    routes: attachment.routes.map(({ gw, ...route }) => ({
      ...route,
      ...(gw === null ? {} : { gw }),
    })),
    dns: runtimeDns(config) ?? own ?? dns,
  }
}

const shown = (link: ResultSource['bridgeLink']): { mac?: string; mtu?: number } =>
  link ? present({ mac: link.mac && formatMac(link.mac), mtu: link.mtuBytes }) : {}

function runtimeDns({ runtimeConfig }: NetworkConfig): Result['dns'] | undefined {
  const { servers, searches, options } = runtimeConfig?.dns ?? {}
  const asked = [servers, searches, options].some((list) => list && list.length > 0)
  return asked ? present({ nameservers: servers, search: searches, options }) : undefined
}
