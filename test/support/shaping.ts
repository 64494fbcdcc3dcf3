import { type Network, netconf, type Result } from './attachment.ts'
import type { Json } from './cni.ts'
import type { Host } from './host.ts'
import type { Netns } from './netns.ts'

type Row = Readonly<Record<string, unknown>>

/** `tc -j` inside a namespace, parsed. */
export function tcJson(netns: Netns, ...words: readonly string[]): readonly Row[] {
  const done = netns.exec(['tc', '-j', ...words])
  if (done.code !== 0) throw new Error(`Cannot tc ${words.join(' ')}: ${done.stderr.trim()}`)
  return done.stdout.trim() === '' ? [] : (JSON.parse(done.stdout) as Row[])
}

/**
 * What tc tells of every qdisc of a node that limits or filters, names of links by what they are
 * for: "HOST root tbf rate=2500000 burst=25000 lat=15000", sorted.
 */
export function limitsOf(node: Netns, hostEnd: string): readonly string[] {
  return tcJson(node, 'qdisc', 'show')
    .filter(({ kind }) => kind !== 'noqueue')
    .map(({ kind, dev, root, options }) => {
      const place = String(dev) === hostEnd ? 'HOST' : roleOf(String(dev))
      const facts = Object.entries((options ?? {}) as Row).map(([key, value]) => `${key}=${value}`)
      return [place, root === true ? 'root' : 'hook', kind, ...facts].join(' ')
    })
    .sort()
}

/** Ours begin with "tue" (from the pod) and "tui" (to it), the reference's with "bwp". */
const roleOf = (dev: string): string =>
  dev.replace(/^(tue|bwp)[0-9a-f]+$/, 'FROM').replace(/^tui[0-9a-f]+$/, 'TO')

/** Where the filters of a hook send packets: "61003 all redirect FROM". */
export const filtersOf = (node: Netns, hostEnd: string, hook: string): readonly string[] =>
  tcJson(node, 'filter', 'show', 'dev', hostEnd, hook).flatMap((one) => {
    const options = one.options as Row | undefined
    const match = options?.match as Row | undefined
    if (!match) return []
    const [action] = (options?.actions ?? []) as Row[]
    const to = action ? `${action.mirred_action} ${roleOf(String(action.to_dev))}` : 'pass'
    return [`${one.pref} ${one.protocol} ${match.value}/${match.mask}@${match.off} ${to}`]
  })

export const hostEndOf = ({ interfaces }: Result): string =>
  interfaces?.find(({ name, sandbox }) => !sandbox && /^(tul|veth)/.test(name))?.name ?? ''

/** The second plugin of a list whose first one is a bridge. */
export const bandwidthConf = (host: Host, keys: Json): Json => ({
  cniVersion: '1.0.0',
  name: 'net',
  type: 'bandwidth',
  dataDir: host.dataDir,
  ...keys,
})

export const bridgeConf = (host: Host, keys: Partial<Network> = {}): Json => ({
  ...netconf(host, { mode: 'bridge', version: '1.0.0', ...keys }),
  type: 'bridge',
})
