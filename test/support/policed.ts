import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Mode } from './attachment.ts'
import { netconf } from './attachment.ts'
import type { Json } from './cni.ts'
import type { Host } from './host.ts'
import type { Netns } from './netns.ts'

/** The agent's folder on this host: nobody holds its lock there. */
export function runDirOf(host: Host): string {
  const folder = join(host.directory, 'run')
  mkdirSync(folder, { recursive: true })
  return folder
}

/** A dual-stack network whose pods policies hold for. */
export const policedConf = (host: Host, mode: Mode, keys: Json = {}, waitSeconds = 5): Json =>
  netconf(host, {
    mode,
    families: 'dual',
    keys: { policy: { enforce: true, waitSeconds, runDir: runDirOf(host) }, ...keys },
  })

type NftSet = { readonly elem?: readonly unknown[] }
type NftRow = { readonly set?: NftSet; readonly map?: NftSet }

/** A set of the policies' table as nft prints it, "address: comment"; none if it is not there. */
export function elementsOf(netns: Netns, set: string): readonly string[] {
  const what = /policed/.test(set) ? 'set' : 'map'
  const done = netns.exec(['nft', '-j', 'list', what, 'inet', 'tulle-policy', set])
  if (done.code !== 0) return []
  const { nftables } = JSON.parse(done.stdout) as { nftables: readonly NftRow[] }
  return nftables.flatMap((row) => row.set?.elem ?? row.map?.elem ?? []).map(textOf)
}

type Listed = { readonly val: string; readonly comment?: string }
function textOf(one: unknown): string {
  const [key, value] = Array.isArray(one) ? (one as readonly unknown[]) : [one, undefined]
  const verdict = value === undefined ? '' : ` ${Object.keys(value as object)[0]}`
  if (typeof key === 'string') return key + verdict
  const { elem } = key as { readonly elem: Listed }
  return `${elem.val}: ${elem.comment ?? ''}${verdict}`
}

export const policed = (netns: Netns): readonly string[] =>
  ['policed4', 'policed6'].flatMap((set) => elementsOf(netns, set)).toSorted()

export const verdicts = (netns: Netns): readonly string[] =>
  ['egress4', 'egress6', 'ingress4', 'ingress6'].flatMap((set) => elementsOf(netns, set))

export const hasPolicyTable = (netns: Netns): boolean =>
  netns.exec(['nft', 'list', 'table', 'inet', 'tulle-policy']).code === 0

/** `nft` on the host; a refusal throws with nft's own text. */
export function nft(netns: Netns, script: string): string {
  const done = netns.exec(['nft', '-f', '-'], { input: `${script}\n` })
  if (done.code !== 0) throw new Error(`Cannot nft: ${done.stderr}`)
  return done.stdout
}

/** Packets that a named counter of the policies' table has seen. */
export function counted(netns: Netns, counter: string): number {
  const { stdout } = netns.exec(['nft', 'list', 'counter', 'inet', 'tulle-policy', counter])
  return Number(/packets (\d+)/.exec(stdout)?.[1] ?? Number.NaN)
}

/** Asked once: a pod that is open answers at once. */
export const isClosed = (from: Netns, to = '10.77.0.1'): boolean =>
  from.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '1', to]).code !== 0
