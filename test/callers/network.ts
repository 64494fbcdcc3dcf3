import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { executable, type Json } from '../support/cni.ts'
import { uplink } from '../support/host.ts'
import type { Netns, Ran } from '../support/netns.ts'

export const modes = ['routed', 'bridge'] as const
export type Mode = (typeof modes)[number]

export const networkName = 'callers'
export const gateway = { v4: '10.77.0.1', v6: 'fd77::1' } as const
const subnets = { v4: '10.77.0.0/24', v6: 'fd77::/64' } as const

export type Network = Readonly<{
  cniVersion: string
  mode: Mode
  dataDir: string
  /** The last IPv4 address of the pool; the subnet's last unless given. */
  rangeEnd?: string
  /** Keys added to the plugin's own configuration. */
  plugin?: Json
  /** Plugins that run after ours. */
  chained?: readonly Json[]
}>

/** A dual-stack network with a way out, as an operator would write it. */
export function conflist(asked: Network): Json {
  const { cniVersion, mode, dataDir, rangeEnd, plugin, chained } = asked
  const range = { subnet: subnets.v4, ...(rangeEnd === undefined ? {} : { rangeEnd }) }
  const own = {
    type: 'tulle',
    mode,
    ...(mode === 'bridge' ? { bridge: 'tb0', isGateway: true, hairpinMode: true } : {}),
    ipMasq: true,
    ipam: {
      type: 'host-local',
      dataDir,
      ranges: [[range], [{ subnet: subnets.v6 }]],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    },
    ...plugin,
  }
  return { cniVersion, name: networkName, plugins: [own, ...(chained ?? [])] }
}

export type Names = Readonly<{ debian?: readonly string[]; ours?: readonly string[] }>

/** A directory of plugins: the packaged executable under its names, and the named Debian ones. */
export function writePluginDir(directory: string, { debian = [], ours = [] }: Names = {}): string {
  const path = join(directory, 'plugins')
  mkdirSync(path)
  for (const name of ['tulle', ...ours]) symlinkSync(executable, join(path, name))
  for (const name of debian) symlinkSync(join('/usr/lib/cni', name), join(path, name))
  return path
}

/** Forwarding, once on, stays on; with it comes a subnet-router anycast (RFC 4291, 2.6.1). */
const forwardingsOwn = /^anycast .* dev up0 /

/** What a plugin could leave on a host, one line a thing; equal before and after a pod's life. */
export function stateOf(netns: Netns): readonly string[] {
  const commands = [
    ['ip', '-br', 'link'],
    ['ip', '-br', 'addr'],
    ['ip', 'rule'],
    ['ip', '-6', 'rule'],
    ['ip', 'route', 'show', 'table', 'all'], // of both families
    ['nft', 'list', 'ruleset'],
  ]
  return commands.flatMap((argv) => {
    const { code, stdout, stderr } = netns.exec(argv)
    if (code !== 0) throw new Error(`Cannot ${argv.join(' ')}: ${stderr}`)
    const lines = stdout.split('\n').map((line) => line.trimEnd())
    return lines.filter((line) => line !== '' && !forwardingsOwn.test(line))
  })
}

/** How many addresses the store says are held; a store that was never made is an error. */
export function heldAddresses(dataDir: string): number {
  const database = new DatabaseSync(join(dataDir, 'tulle.db'), { readOnly: true })
  try {
    const query = 'SELECT count(*) AS held FROM address WHERE container IS NOT NULL'
    return Number(database.prepare(query).get()?.held)
  } finally {
    database.close()
  }
}

export type Exec = (argv: readonly string[]) => Ran

/** One echo request each, with two seconds of patience: the addresses that did not answer. */
export function lostPings(exec: Exec, addresses: readonly string[]): readonly string[] {
  const script = 'for a; do ping -c1 -W2 "$a" >/dev/null 2>&1 || echo "$a"; done; echo done'
  const { stdout, stderr } = exec(['sh', '-c', script, 'pings', ...addresses])
  const lines = stdout.trim().split('\n')
  if (lines.pop() !== 'done') throw new Error(`Cannot ping: ${stderr}${stdout}`)
  return lines
}

/** What every pod must reach besides other pods: its node, and the world behind masquerade. */
export const beyondThePod: readonly string[] = [
  gateway.v4,
  gateway.v6,
  uplink.node.v4,
  uplink.node.v6,
  uplink.outside.v4,
  uplink.outside.v6,
]

/** Addresses without their prefix length. */
export function bare(addresses: readonly string[]): readonly string[] {
  return addresses.map((address) => address.split('/')[0] ?? address)
}
