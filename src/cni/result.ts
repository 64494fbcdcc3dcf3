import { code, fault } from './fault.ts'
import type { Dns, RouteConfig } from './network-config.ts'
import { type CniVersion, isAtLeast } from './version.ts'

export type ResultInterface = {
  readonly name: string
  readonly mac?: string
  readonly mtu?: number
  readonly sandbox?: string
}

export type ResultIp = {
  /** With its prefix length. */
  readonly address: string
  readonly gateway?: string
  /** Index into `interfaces`. */
  readonly interface?: number
}

/**
 * An ADD's outcome in the shape of specification 1.1.0; older shapes are made from it and read into
 * it.
 */
export type Result = {
  readonly interfaces: readonly ResultInterface[]
  readonly ips: readonly ResultIp[]
  readonly routes: readonly RouteConfig[]
  readonly dns: Dns
}

/**
 * The result as each specification version writes it (specification "Success", and its older
 * editions).
 */
export function formatResult(cniVersion: CniVersion, result: Result): string {
  return JSON.stringify({ cniVersion, ...shape(cniVersion, result) })
}

function shape(version: CniVersion, { interfaces, ips, routes, ...rest }: Result): object {
  const dns = knownDns(rest.dns)
  if (!isAtLeast(version, '0.3.0')) return oldShape({ ips, routes, dns })
  const is11 = isAtLeast(version, '1.1.0')
  const is10 = isAtLeast(version, '1.0.0')
  return {
    ...list('interfaces', is11 ? interfaces : interfaces.map(({ mtu: _, ...rest }) => rest)),
    ...list('ips', is10 ? ips : ips.map((ip) => ({ version: familyOf(ip.address), ...ip }))),
    ...list('routes', is11 ? routes : routes.map(plainRoute)),
    ...(is10 && isEmpty(dns) ? {} : { dns }),
  }
}

const list = (key: string, items: readonly object[]): object =>
  items.length > 0 ? { [key]: items } : {}

/** What no specification knows came from a configuration or an IPAM plugin: not ours to say. */
const knownDns = ({ nameservers, domain, search, options }: Dns): Dns =>
  present({
    nameservers: filled(nameservers),
    domain: filled(domain),
    search: filled(search),
    options: filled(options),
  })

/** What is empty is left out, as Go's encoder does it for every other plugin. */
const filled = <T extends string | readonly string[]>(value: T | undefined): T | undefined =>
  value?.length ? value : undefined

const isEmpty = (value: object): boolean => Object.keys(value).length === 0

const plainRoute = ({ dst, gw }: RouteConfig): RouteConfig =>
  gw === undefined ? { dst } : { dst, gw }

const familyOf = (address: string): '4' | '6' => (address.includes(':') ? '6' : '4')

/** 0.1.0 and 0.2.0: one address a family, each with its family's routes; no interfaces. */
function oldShape({ ips, routes, dns }: Omit<Result, 'interfaces'>): object {
  const side = (family: '4' | '6'): object => {
    const ip = ips.find(({ address }) => familyOf(address) === family)
    if (!ip) return {}
    const own = routes.filter(({ dst }) => familyOf(dst) === family).map(plainRoute)
    const gateway = ip.gateway === undefined ? {} : { gateway: ip.gateway }
    return { [`ip${family}`]: { ip: ip.address, ...gateway, ...list('routes', own) } }
  }
  return { ...side('4'), ...side('6'), dns }
}

type Json = Readonly<Record<string, unknown>>

/**
 * A result of another plugin, or of ours from an earlier call, of any version. What is not of the
 * right type is passed over, an address without an interface (or with index -1) included:
 * prevResult is a hint, and DEL must live with any.
 */
export function readResult(value: unknown): Result {
  if (!isObject(value)) return { interfaces: [], ips: [], routes: [], dns: {} }
  const old = [value.ip4, value.ip6].filter(isObject)
  return {
    interfaces: objects(value.interfaces).map(readInterface),
    ips: [
      ...objects(value.ips).map(readIp),
      ...old.map(({ ip, gateway }) => readIp({ address: ip, gateway })),
    ].filter(({ address }) => address !== ''),
    routes: [...objects(value.routes), ...old.flatMap(({ routes }) => objects(routes))]
      .map(readRoute)
      .filter(({ dst }) => dst !== ''),
    dns: isObject(value.dns) ? (value.dns as Dns) : {},
  }
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const objects = (value: unknown): readonly Json[] =>
  Array.isArray(value) ? value.filter(isObject) : []
const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined
const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined

/** Leaves out the keys whose value is undefined. */
export function present<T extends object>(value: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T
}

const readInterface = ({ name, mac, mtu, sandbox }: Json): ResultInterface =>
  present<ResultInterface>({
    name: text(name) ?? '',
    mac: text(mac),
    mtu: count(mtu),
    sandbox: text(sandbox),
  })

const readIp = ({ address, gateway, interface: index }: Json): ResultIp =>
  present<ResultIp>({
    address: text(address) ?? '',
    gateway: text(gateway),
    interface: count(index),
  })

const readRoute = ({ dst, gw, mtu, advmss, priority, table, scope }: Json): RouteConfig =>
  present<RouteConfig>({
    dst: text(dst) ?? '',
    gw: text(gw),
    mtu: count(mtu),
    advmss: count(advmss),
    priority: count(priority),
    table: count(table),
    scope: count(scope),
  })

/**
 * prevResult as it came, for a plugin that has nothing to change: only a missing cniVersion is
 * filled in.
 */
export function passThrough(cniVersion: CniVersion, prevResult: unknown): string {
  if (!isObject(prevResult))
    throw fault(
      code.invalidConfig,
      'invalid prevResult',
      'prevResult is not an object; pass the result of the plugin before this one',
    )
  const found = prevResult.cniVersion
  if (found !== undefined && found !== '' && found !== cniVersion)
    throw fault(
      code.incompatibleVersion,
      'prevResult has another version than the configuration',
      `prevResult is ${JSON.stringify(found)}, the configuration ${JSON.stringify(cniVersion)}; ` +
        'the runtime must convert it',
    )
  return JSON.stringify({ ...prevResult, cniVersion })
}
