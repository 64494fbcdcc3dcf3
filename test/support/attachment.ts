import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Call, call, callLater, type Json, type versions } from './cni.ts'
import type { Host, Pod } from './host.ts'
import type { Ran } from './netns.ts'
import { executableOf } from './warmth.ts'

export type Version = (typeof versions)[number]
export const modes = ['routed', 'bridge'] as const
export type Mode = (typeof modes)[number]
export const families = ['v4', 'v6', 'dual'] as const
export type Families = (typeof families)[number]

/** The pools that every test network leases from, unless it says otherwise. */
export const pools = {
  v4: { subnet: '10.77.0.0/24', gateway: '10.77.0.1', prefix: '10.77.0.' },
  v6: { subnet: 'fd00:77::/64', gateway: 'fd00:77::1', prefix: 'fd00:77::' },
} as const

export type Network = Readonly<{
  mode: Mode
  families?: Families
  version?: Version
  name?: string
  ipam?: Json
  keys?: Json
}>

export function rangesOf(wanted: Families): readonly (readonly Json[])[] {
  const v4 = [{ subnet: pools.v4.subnet }]
  const v6 = [{ subnet: pools.v6.subnet }]
  return wanted === 'dual' ? [v4, v6] : [wanted === 'v4' ? v4 : v6]
}

/** A network configuration as a runtime hands it over, with its leases in the host's directory. */
export function netconf(host: Host, network: Network): Json {
  return {
    cniVersion: network.version ?? '1.1.0',
    name: network.name ?? 'net',
    type: 'tulle',
    mode: network.mode,
    ...(network.mode === 'bridge' ? { bridge: 'cni0', isGateway: true } : {}),
    // Here too: a test may have another IPAM, or none, and the default is shared by all nodes.
    dataDir: host.dataDir,
    ipam: {
      type: 'host-local',
      dataDir: host.dataDir,
      ranges: rangesOf(network.families ?? 'v4'),
      ...network.ipam,
    },
    ...network.keys,
  }
}

/** A directory with our file and nothing else: the whole PATH and CNI_PATH of every call. */
export function onlyOurs(host: Host): string {
  const directory = join(host.directory, 'bin')
  if (mkdirSync(directory, { recursive: true }))
    symlinkSync(executableOf(host.netns), join(directory, 'tulle'))
  return directory
}

export type Extra = Partial<Omit<Call, 'verb' | 'conf' | 'node'>>
export type PodVerb = 'ADD' | 'DEL' | 'CHECK'

function podCall(verb: PodVerb, pod: Pod, conf: Json | string, extra: Extra): Call {
  const bin = onlyOurs(pod.host)
  return {
    verb,
    conf,
    node: pod.host.netns,
    container: pod.container,
    netns: pod.netns.path,
    ifname: pod.ifname,
    path: bin,
    ...extra,
    env: { PATH: bin, ...extra.env },
  }
}

/** One verb for one pod, asked as a runtime asks. */
export const attach = (verb: PodVerb, pod: Pod, conf: Json | string, extra: Extra = {}): Ran =>
  call(podCall(verb, pod, conf, extra))

/** As `attach`, among others at the same time. */
export const attachLater = (verb: PodVerb, pod: Pod, conf: Json, extra: Extra = {}): Promise<Ran> =>
  callLater(podCall(verb, pod, conf, extra))

/** ADD that has to succeed, among others at the same time. */
export async function addedLater(pod: Pod, conf: Json, extra: Extra = {}): Promise<Result> {
  return resultOf(await attachLater('ADD', pod, conf, extra))
}

export type NodeVerb = 'STATUS' | 'GC' | 'VERSION'

function nodeCall(verb: NodeVerb, host: Host, conf: Json | string, extra: Extra): Call {
  const bin = onlyOurs(host)
  return { verb, conf, node: host.netns, path: bin, ...extra, env: { PATH: bin, ...extra.env } }
}

/** A verb that is about no pod. */
export const ask = (verb: NodeVerb, host: Host, conf: Json | string, extra: Extra = {}): Ran =>
  call(nodeCall(verb, host, conf, extra))

export const askLater = (verb: NodeVerb, host: Host, conf: Json): Promise<Ran> =>
  callLater(nodeCall(verb, host, conf, {}))

export const add = (pod: Pod, conf: Json | string, extra: Extra = {}): Ran =>
  attach('ADD', pod, conf, extra)
export const del = (pod: Pod, conf: Json | string, extra: Extra = {}): Ran =>
  attach('DEL', pod, conf, extra)

/** CHECK with the ADD's result as prevResult, as a runtime sends it. */
export const check = (pod: Pod, conf: Json, prevResult: unknown, extra: Extra = {}): Ran =>
  attach('CHECK', pod, { ...conf, prevResult }, extra)

export type Interface = Readonly<{ name: string; mac?: string; sandbox?: string; mtu?: number }>
export type Ip = Readonly<{
  version?: string
  address: string
  gateway?: string
  interface?: number
}>
export type Route = Readonly<{ dst: string; gw?: string; [key: string]: unknown }>
type OldIp = Readonly<{ ip: string; gateway?: string; routes?: readonly Route[] }>

export type Result = Readonly<{
  cniVersion?: string
  interfaces?: readonly Interface[]
  ips?: readonly Ip[]
  routes?: readonly Route[]
  ip4?: OldIp
  ip6?: OldIp
  dns?: Json
}>

function resultOf(ran: Ran): Result {
  if (ran.code !== 0) throw new Error(`ADD exited ${ran.code}: ${ran.stdout}${ran.stderr}`)
  return JSON.parse(ran.stdout) as Result
}

/** ADD that has to succeed: its result, parsed. */
export const added = (pod: Pod, conf: Json, extra: Extra = {}): Result =>
  resultOf(add(pod, conf, extra))

/** DEL that has to succeed in silence. */
export function deleted(pod: Pod, conf: Json | string, extra: Extra = {}): void {
  const ran = del(pod, conf, extra)
  if (ran.code !== 0 || ran.stdout !== '') {
    throw new Error(`DEL exited ${ran.code}: ${ran.stdout}${ran.stderr}`)
  }
}

/** Addresses of a result of any version, without their prefix length. */
export function addressesOf(result: Result): readonly string[] {
  const old = [result.ip4?.ip, result.ip6?.ip].filter((text) => text !== undefined)
  const texts = result.ips === undefined ? old : result.ips.map(({ address }) => address)
  return texts.map((text) => text.replace(/\/\d+$/, ''))
}

export type Refusal = Readonly<{ cniVersion: string; code: number; msg: string; details?: string }>

/** The error object on stdout; undefined if there is none. */
export function refusalOf(ran: Ran): Refusal | undefined {
  if (ran.code !== 1) return undefined
  try {
    return JSON.parse(ran.stdout) as Refusal
  } catch {
    return undefined
  }
}
