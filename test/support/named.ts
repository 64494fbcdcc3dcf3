import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { attach, type Extra, type PodVerb, type Result } from './attachment.ts'
import type { Json } from './cni.ts'
import type { Host, Pod } from './host.ts'
import type { Ran } from './netns.ts'
import { referenceDirectory } from './reference.ts'
import { executableOf } from './warmth.ts'

// How a reference plugin is called, and our executable by such a plugin's name.

const names = [
  'bridge',
  'ptp',
  'host-local',
  'static',
  'flannel',
  'portmap',
  'bandwidth',
  'tuning',
  'firewall',
  'loopback',
] as const
export type Name = (typeof names)[number]

/** A plugin's executable, and the whole CNI_PATH that it gets. */
export type Program = Extra & { readonly plugin: string; readonly path: string }

/** A folder of links to our executable: one for each name, and `others` to other programs. */
export function folderOf(
  host: Host,
  folder: string,
  links: Readonly<Record<string, string>>,
): string {
  const directory = join(host.directory, folder)
  if (mkdirSync(directory, { recursive: true }))
    for (const [name, target] of Object.entries(links)) symlinkSync(target, join(directory, name))
  return directory
}

/** Ours, called by that name, with nothing but its other names in CNI_PATH. */
export function asOurs(host: Host, name: Name): Program {
  const links = Object.fromEntries(names.map((one) => [one, executableOf(host.netns)]))
  const path = folderOf(host, 'named', links)
  return { plugin: join(path, name), path }
}

/** Debian's plugin of that name, and its own for everything else. */
export const asReference = (_host: Host, name: Name): Program => ({
  plugin: join(referenceDirectory, name),
  path: referenceDirectory,
  env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
})

/** Who is asked: our executable under a reference plugin's name, or that plugin. */
export type Maker = 'ours' | 'reference'
export const as = { ours: asOurs, reference: asReference } as const

export type Asked = Readonly<{ maker: Maker; name: Name; conf: Json }>

/** One verb of one plugin of a chain. */
export const ask = (verb: PodVerb, pod: Pod, { maker, name, conf }: Asked, more: Extra = {}): Ran =>
  attach(verb, pod, { ...conf, type: name }, { ...as[maker](pod.host, name), ...more })

/** As `ask` for what has to succeed: the result of ADD, nothing of the others. */
export function asked(verb: PodVerb, pod: Pod, what: Asked, more: Extra = {}): Result {
  const ran = ask(verb, pod, what, more)
  const isQuiet = verb === 'ADD' || ran.stdout === ''
  if (ran.code !== 0 || !isQuiet)
    throw new Error(`${what.maker} ${what.name} ${verb} exited ${ran.code}: ${ran.stdout}`)
  return verb === 'ADD' ? (JSON.parse(ran.stdout) as Result) : {}
}

/** ADD of every plugin, each with the result of the one before; the last one's result. */
export function chainAdded(pod: Pod, plugins: readonly Asked[]): Result {
  let result: Result | undefined
  for (const plugin of plugins) {
    const conf = result === undefined ? plugin.conf : { ...plugin.conf, prevResult: result }
    result = asked('ADD', pod, { ...plugin, conf })
  }
  if (result === undefined) throw new Error('Cannot add an empty chain')
  return result
}

/** DEL of every plugin, the last one first, as runtimes do; with prevResult if there is one. */
export function chainDeleted(pod: Pod, plugins: readonly Asked[], prevResult?: Result): void {
  for (const plugin of plugins.toReversed()) {
    const conf = prevResult === undefined ? plugin.conf : { ...plugin.conf, prevResult }
    asked('DEL', pod, { ...plugin, conf })
  }
}
