import { readFileSync } from 'node:fs'
import { basename } from 'node:path/posix'
import { type CniVersion, isVersion, versions } from '../../cni/version.ts'
import { UsageFault } from '../command.ts'
import { isJson, type Json, parseJson } from './answers.ts'
import type { Kind } from './case.ts'
import { chainedConfs } from './chained-confs.ts'

/** Address families of the network; given: whatever the user's own configuration says. */
export type Families = 'ipv4' | 'ipv6' | 'dual' | 'given'

/** The plugin under examination, and the configurations that it gets. */
export type Subject = {
  readonly file: string
  readonly cniPath: string
  readonly kind: Kind
  /** CNI_IFNAME of its calls. */
  readonly ifname: string
  readonly families: readonly Families[]
  readonly confOf: (version: CniVersion, families: Families) => Json
}

export const networkName = 'conformance'

/** Inside the folder that the throw-away node covers. */
const dataDir = '/run/conformance'

/** The pools of the configurations that are made here. */
const pools = {
  ipv4: { subnet: '10.77.0.0/16', only: '10.77.0.9', address: '10.77.0.9/16', any: '0.0.0.0/0' },
  ipv6: { subnet: 'fd00:77::/64', only: 'fd00:77::9', address: 'fd00:77::9/64', any: '::/0' },
} as const

type Wanted = readonly (keyof typeof pools)[]
const wantedOf = (families: Families): Wanted =>
  families === 'dual' || families === 'given' ? ['ipv4', 'ipv6'] : [families]

const hostLocal = (wanted: Wanted): Json => ({
  type: 'host-local',
  dataDir,
  ranges: wanted.map((family) => [{ subnet: pools[family].subnet }]),
  routes: wanted.map((family) => ({ dst: pools[family].any })),
})

const staticIpam = (wanted: Wanted): Json => ({
  type: 'static',
  addresses: wanted.map((family) => ({ address: pools[family].address })),
})

const chained = Object.fromEntries(
  Object.entries(chainedConfs).map(([name, conf]) => [
    name,
    { kind: 'chained', confOf: () => conf } satisfies Known,
  ]),
)

type Known = { readonly kind: Kind; readonly confOf: (wanted: Wanted) => Json }

/** Configurations for those who are known by name. */
const known: Readonly<Record<string, Known>> = {
  tulle: { kind: 'interface', confOf: (wanted) => ({ ipam: hostLocal(wanted) }) },
  ptp: { kind: 'interface', confOf: (wanted) => ({ ipam: hostLocal(wanted) }) },
  bridge: {
    kind: 'interface',
    confOf: (wanted) => ({ bridge: 'cni0', isGateway: true, ipam: hostLocal(wanted) }),
  },
  'host-local': { kind: 'ipam', confOf: (wanted) => ({ ipam: hostLocal(wanted) }) },
  static: { kind: 'ipam', confOf: (wanted) => ({ ipam: staticIpam(wanted) }) },
  loopback: { kind: 'loopback', confOf: () => ({}) },
  ...chained,
}

export type Asked = {
  readonly plugin: string
  readonly cniPath: string
  readonly conf: string | undefined
  /** The user says so; of known plugins it is known. */
  readonly isChained: boolean
}

export function subjectOf({ plugin, cniPath, conf, isChained }: Asked): Subject {
  const name = basename(plugin)
  const base = { file: plugin, cniPath, ifname: name === 'loopback' ? 'lo' : 'eth0' }
  if (conf !== undefined) return { ...base, ...givenSubject(name, readConf(conf, name), isChained) }
  const found = known[name]
  if (!found)
    throw new UsageFault(
      `tulle conformance: no configuration is known for ${name} (it is for ` +
        `${Object.keys(known).join(', ')}); give one with --conf FILE`,
    )
  const hasFamilies = found.kind === 'interface' || found.kind === 'ipam'
  return {
    ...base,
    kind: found.kind,
    families: hasFamilies ? ['ipv4', 'ipv6', 'dual'] : ['given'],
    confOf: (cniVersion, families) => ({
      cniVersion,
      name: networkName,
      type: name,
      ...found.confOf(wantedOf(families)),
    }),
  }
}

type Given = Pick<Subject, 'kind' | 'families' | 'confOf'>

function givenSubject(name: string, given: Json, isChained: boolean): Given {
  const { ipam } = given
  const isHostLocal = isJson(ipam) && ipam.type === 'host-local'
  const kept = isHostLocal ? { ipam: { ...ipam, dataDir } } : {}
  return {
    kind: kindOf(name, given, isChained),
    families: ['given'],
    confOf: (cniVersion) => ({ ...given, ...kept, name: networkName, cniVersion }),
  }
}

function kindOf(name: string, given: Json, isChained: boolean): Kind {
  if (isChained) return 'chained'
  if (isJson(given.ipam) && given.ipam.type === name) return 'ipam'
  const kind = known[name]?.kind
  return kind === 'chained' || kind === 'loopback' ? kind : 'interface'
}

/** A configuration, or the entry of a list that is about this plugin, or else its first. */
function readConf(file: string, name: string): Json {
  const value = parseJson(readFileSync(file, 'utf8'))
  if (!value) throw new UsageFault(`tulle conformance: ${file} holds no JSON object`)
  if (!Array.isArray(value.plugins)) return { type: name, ...value }
  const entries = value.plugins.filter(isJson)
  const entry = entries.find(({ type }) => type === name) ?? entries[0]
  if (!entry) throw new UsageFault(`tulle conformance: ${file} is a list without plugins`)
  return { type: name, ...entry }
}

export const poolsUnknown = 'the pools of this configuration are not known to the tool'

/** The same network with one address a family; undefined where its pools are not known. */
export function onlyAddressConf(subject: Subject, version: CniVersion): Json | undefined {
  const conf = subject.confOf(version, 'ipv4')
  const { ipam } = conf
  if (!isJson(ipam) || ipam.type !== 'host-local' || subject.families[0] === 'given')
    return undefined
  const { subnet, only } = pools.ipv4
  const range = { subnet, rangeStart: only, rangeEnd: only }
  return { ...conf, name: `${networkName}-only`, ipam: { ...ipam, ranges: [[range]] } }
}

/** Those of the specification's versions that the plugin says it knows, oldest first. */
export function versionsOf(answer: string): readonly CniVersion[] {
  const supported = parseJson(answer)?.supportedVersions
  const named: readonly unknown[] = Array.isArray(supported) ? supported : []
  return versions.filter((version) => named.some((one) => one === version && isVersion(version)))
}
