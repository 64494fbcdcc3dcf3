import { isIPv4, isIPv6 } from 'node:net'
import type { Version } from './attachment.ts'
import type { Ran } from './netns.ts'

/** Shapes of results and errors, written from the specification's text, not from our sources. */

type Value = unknown
type Faults = readonly string[]
type Rule = (value: Value, at: string) => Faults

const say = (holds: boolean, at: string, text: string): Faults => (holds ? [] : [`${at}: ${text}`])
const rule =
  (holds: (value: Value) => boolean, text: string): Rule =>
  (value, at) =>
    say(holds(value), at, `${JSON.stringify(value)} is no ${text}`)

const isObject = (value: Value): value is Record<string, Value> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const text = rule((value) => typeof value === 'string' && value !== '', 'text')
const exactly = (wanted: string): Rule => rule((value) => value === wanted, wanted)
const count = rule((value) => Number.isInteger(value) && Number(value) >= 0, 'count')
const mac = rule((value) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(String(value)), 'MAC')

function isCidr(value: Value, isIp: (text: string) => boolean, bitsMax: number): boolean {
  const [address = '', bits = '', ...rest] = String(value).split('/')
  const isLength = /^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax
  return typeof value === 'string' && rest.length === 0 && isIp(address) && isLength
}
const isCidr4 = (value: Value): boolean => isCidr(value, isIPv4, 32)
const isCidr6 = (value: Value): boolean => isCidr(value, isIPv6, 128)
const ip4 = rule((value) => isIPv4(String(value)), 'IPv4 address')
const ip6 = rule((value) => isIPv6(String(value)), 'IPv6 address')
const ip = rule((value) => isIPv4(String(value)) || isIPv6(String(value)), 'address')
const cidr4 = rule(isCidr4, 'IPv4 CIDR')
const cidr6 = rule(isCidr6, 'IPv6 CIDR')
const cidr = rule((value) => isCidr4(value) || isCidr6(value), 'CIDR')

const listOf =
  (item: Rule): Rule =>
  (value, at) =>
    Array.isArray(value) && value.length > 0
      ? value.flatMap((one, index) => item(one, `${at}[${index}]`))
      : [`${at}: ${JSON.stringify(value)} is no list with entries (empty lists are left out)`]

/** An object with these keys and no others; a key that ends in `?` may be missing. */
const object =
  (keys: Readonly<Record<string, Rule>>): Rule =>
  (value, at) => {
    if (!isObject(value)) return [`${at}: ${JSON.stringify(value)} is no object`]
    const known = Object.entries(keys).map(([key, of]) => [key.replace(/\?$/, ''), of] as const)
    const names = new Map(known)
    const strange = Object.keys(value).filter((key) => !names.has(key))
    const missing = Object.keys(keys).filter((key) => !key.endsWith('?') && !(key in value))
    return [
      ...strange.map((key) => `${at}.${key}: not a key of this version`),
      ...missing.map((key) => `${at}.${key}: missing`),
      ...known.flatMap(([key, of]) => (key in value ? of(value[key], `${at}.${key}`) : [])),
    ]
  }

const dns = object({
  'nameservers?': listOf(text),
  'domain?': text,
  'search?': listOf(text),
  'options?': listOf(text),
})
const routes = (gateway: Rule, more: Readonly<Record<string, Rule>> = {}): Rule =>
  listOf(object({ dst: cidr, 'gw?': gateway, ...more }))

const old = (address: Rule, gateway: Rule): Rule =>
  object({ ip: address, 'gateway?': gateway, 'routes?': routes(gateway) })
const oldResult = (version: Version): Rule =>
  object({
    cniVersion: exactly(version),
    'ip4?': old(cidr4, ip4),
    'ip6?': old(cidr6, ip6),
    'dns?': dns,
  })

const plainInterface = { name: text, 'mac?': mac, 'sandbox?': text }
const plainIp = { address: cidr, 'gateway?': ip, 'interface?': count }
const family = rule((value) => value === '4' || value === '6', 'family "4" or "6"')

const newResult = (version: Version, more: Readonly<Record<string, Rule>>): Rule =>
  object({ cniVersion: exactly(version), 'dns?': dns, ...more })

const middle = {
  'interfaces?': listOf(object(plainInterface)),
  'ips?': listOf(object({ ...plainIp, version: family })),
  'routes?': routes(ip),
}
const rules: Readonly<Record<Version, Rule>> = {
  '0.1.0': oldResult('0.1.0'),
  '0.2.0': oldResult('0.2.0'),
  '0.3.0': newResult('0.3.0', middle),
  '0.3.1': newResult('0.3.1', middle),
  '0.4.0': newResult('0.4.0', middle),
  '1.0.0': newResult('1.0.0', {
    'interfaces?': listOf(object(plainInterface)),
    'ips?': listOf(object(plainIp)),
    'routes?': routes(ip),
  }),
  '1.1.0': newResult('1.1.0', {
    'interfaces?': listOf(
      object({ ...plainInterface, 'mtu?': count, 'socketPath?': text, 'pciID?': text }),
    ),
    'ips?': listOf(object(plainIp)),
    'routes?': routes(ip, {
      'mtu?': count,
      'advmss?': count,
      'priority?': count,
      'table?': count,
      'scope?': count,
    }),
  }),
}

/** What is wrong with an ADD result for this version; empty when nothing is. */
export function resultFaults(result: unknown, version: Version): Faults {
  const faults = rules[version](result, 'result')
  if (!isObject(result) || !Array.isArray(result.ips)) return faults
  const links = Array.isArray(result.interfaces) ? result.interfaces.length : 0
  const far = result.ips.filter((one) => isObject(one) && Number(one.interface ?? 0) >= links)
  const loose = far.filter((one) => isObject(one) && one.interface !== undefined)
  return [...faults, ...loose.map((one) => `result.ips: ${JSON.stringify(one)} points nowhere`)]
}

/** Codes of the specification, of libcni, and our own (README lists them); 999 says nothing. */
const codes = [1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 51, 100, 101, 102, 103, 104, 105, 106]

const errorRule = object({
  cniVersion: text,
  code: rule((value) => codes.includes(Number(value)), 'known code'),
  msg: text,
  'details?': rule((value) => typeof value === 'string', 'text'),
})

/** What is wrong with the answer of a call that was refused: exit 1, one error object, no more. */
export function errorFaults(ran: Ran): Faults {
  const parsed = parsedObject(ran.stdout)
  const shape = parsed === undefined ? ['stdout: not one JSON object'] : errorRule(parsed, 'error')
  return [...say(ran.code === 1, 'exit', `${ran.code} is not 1`), ...shape]
}

function parsedObject(stdout: string): unknown {
  try {
    return JSON.parse(stdout) as unknown
  } catch {
    return undefined
  }
}
