import { parseAddress } from '../../base/address.ts'
import { parseMac } from '../../base/mac.ts'
import { parsePrefix } from '../../base/prefix.ts'
import { type CniVersion, isAtLeast } from '../../cni/version.ts'
import { isJson, type Json } from './answers.ts'
import type { Findings } from './case.ts'

// The success object of ADD in each version (specification, "Success", and before 0.3.0 "Result").

type Ip = { readonly address: string; readonly interface: number | undefined }

const objects = (value: unknown): readonly Json[] =>
  Array.isArray(value) ? value.filter(isJson) : []
const quoted = (value: unknown): string => JSON.stringify(value) ?? 'nothing'

/** Every address that a result of any version names, with the prefix length. */
export function ipsOf(result: Json): readonly Ip[] {
  const old = [result.ip4, result.ip6].filter(isJson).map(({ ip }) => ({ address: ip }))
  return [...objects(result.ips), ...old].map((ip: Json) => ({
    address: String(ip.address),
    interface: typeof ip.interface === 'number' ? ip.interface : undefined,
  }))
}

export const destinationsOf = (result: Json): readonly string[] =>
  [result, result.ip4, result.ip6]
    .filter(isJson)
    .flatMap(({ routes }) => objects(routes))
    .map(({ dst }) => String(dst))

/** What is wrong with a result's form in that version. */
export function shapeFindings(result: Json, version: CniVersion): Findings {
  const found = result.cniVersion
  const isOld = !isAtLeast(version, '0.3.0')
  const strange = isOld ? ['interfaces', 'ips', 'routes'] : ['ip4', 'ip6']
  return [
    ...(found === version ? [] : [`cniVersion is ${quoted(found)}, not ${quoted(version)}`]),
    ...strange.filter((key) => key in result).map((key) => `${key} is no key of ${version}`),
    ...(isOld ? oldFindings(result) : newFindings(result, version)),
    ...destinationsOf(result)
      .filter((dst) => !parsePrefix(dst))
      .map((dst) => `routes: dst ${quoted(dst)} is no prefix`),
    ...(result.dns === undefined || isJson(result.dns) ? [] : ['dns is no object']),
  ]
}

const oldFindings = (result: Json): Findings =>
  (['ip4', 'ip6'] as const).flatMap((key) => {
    const side = result[key]
    if (side === undefined) return []
    if (!isJson(side)) return [`${key} is no object`]
    const family = key === 'ip4' ? 4 : 6
    const prefix = parsePrefix(String(side.ip))
    return [
      ...(prefix?.address.family === family ? [] : [`${key}.ip ${quoted(side.ip)}: no CIDR`]),
      ...gatewayFindings(side, key),
    ]
  })

function newFindings(result: Json, version: CniVersion): Findings {
  const lists = ['interfaces', 'ips', 'routes'] as const
  const noLists = lists.filter((key) => key in result && !Array.isArray(result[key]))
  const links = objects(result.interfaces)
  return [
    ...noLists.map((key) => `${key} is no list`),
    ...links.flatMap((link, at) => linkFindings(link, `interfaces[${at}]`)),
    ...objects(result.ips).flatMap((ip, at) =>
      ipFindings(ip, { at: `ips[${at}]`, links: links.length, version }),
    ),
  ]
}

/** What loopback tells of `lo`. */
const zeroMac = '00:00:00:00:00:00'

function linkFindings({ name, mac }: Json, at: string): Findings {
  const isNone = mac === undefined || mac === '' || (name === 'lo' && mac === zeroMac)
  const hasMac = isNone || parseMac(String(mac)) !== undefined
  return [
    ...(typeof name === 'string' && name !== '' ? [] : [`${at} has no name`]),
    ...(hasMac ? [] : [`${at}.mac ${quoted(mac)} is no MAC address`]),
  ]
}

type Place = { readonly at: string; readonly links: number; readonly version: CniVersion }

function ipFindings(ip: Json, { at, links, version }: Place): Findings {
  const prefix = parsePrefix(String(ip.address))
  const family = String(prefix?.address.family)
  const index = ip.interface
  const isIndex = index === undefined || (typeof index === 'number' && index < links)
  const versionFindings = isAtLeast(version, '1.0.0')
    ? 'version' in ip
      ? [`${at}.version is no key of ${version}`]
      : []
    : ip.version === family
      ? []
      : [`${at}.version is ${quoted(ip.version)}, not ${quoted(family)}`]
  return [
    ...(prefix ? versionFindings : [`${at}.address ${quoted(ip.address)}: no CIDR`]),
    ...(isIndex ? [] : [`${at}.interface ${quoted(index)} points at no interface`]),
    ...gatewayFindings(ip, at),
  ]
}

const gatewayFindings = ({ gateway }: Json, at: string): Findings =>
  gateway === undefined || parseAddress(String(gateway))
    ? []
    : [`${at}.gateway ${quoted(gateway)} is no address`]

/** What the result says of interfaces, for a plugin that makes one in the pod. */
export function interfaceFindings(
  result: Json,
  pod: { readonly path: string; readonly ifname: string },
): Findings {
  const links = objects(result.interfaces)
  const own = links.findIndex(({ name, sandbox }) => name === pod.ifname && sandbox === pod.path)
  const twin = links.some(
    ({ name, sandbox }) => name === pod.ifname && (sandbox === undefined || sandbox === ''),
  )
  const loose = ipsOf(result).filter((ip) => ip.interface !== own)
  if (own < 0) return [`interfaces: none is ${pod.ifname} in sandbox ${pod.path}`]
  return [
    ...(twin ? [`interfaces: one of the node has the pod's name, ${pod.ifname}`] : []),
    ...loose.map(({ address }) => `ips: ${address} does not point at the pod's interface`),
  ]
}
