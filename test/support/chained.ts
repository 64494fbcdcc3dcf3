import { existsSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Extra, onlyOurs, type PodVerb, type Result } from './attachment.ts'
import { call, executable, type Json } from './cni.ts'
import type { Pod } from './host.ts'
import type { Ran } from './netns.ts'
import { referenceDirectory } from './reference.ts'

/** Ours under a reference plugin's name, or the reference itself. */
export type Maker = 'ours' | 'reference'

/** A plugin's executable; ours is a link with that name, as `tulle install` makes it. */
export function programOf(pod: Pod, name: string, maker: Maker): string {
  if (maker === 'reference') return join(referenceDirectory, name)
  const link = join(onlyOurs(pod.host), name)
  if (!existsSync(link)) symlinkSync(executable, link)
  return link
}

type Plugin = Readonly<{ name: string; maker: Maker; conf: Json }>

/** One verb of one plugin of a chain. */
export const ask = (
  verb: PodVerb,
  pod: Pod,
  { name, maker, conf }: Plugin,
  extra: Extra = {},
): Ran =>
  call({
    verb,
    conf: { ...conf, type: name },
    node: pod.host.netns,
    container: pod.container,
    netns: pod.netns.path,
    ifname: pod.ifname,
    path: referenceDirectory,
    plugin: programOf(pod, name, maker),
    ...extra,
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...extra.env },
  })

/** ADD of every plugin, each with the result of the one before; the last one's result. */
export function chainAdded(pod: Pod, plugins: readonly Plugin[]): Result {
  let result: Result | undefined
  for (const plugin of plugins) {
    const conf = result === undefined ? plugin.conf : { ...plugin.conf, prevResult: result }
    const ran = ask('ADD', pod, { ...plugin, conf })
    if (ran.code !== 0) throw new Error(`${plugin.name} ADD: ${ran.stdout}${ran.stderr}`)
    result = JSON.parse(ran.stdout) as Result
  }
  if (result === undefined) throw new Error('Cannot add an empty chain')
  return result
}

/** DEL of every plugin, the last one first, as runtimes do; with prevResult if there is one. */
export function chainDeleted(pod: Pod, plugins: readonly Plugin[], prevResult?: Result): void {
  for (const plugin of plugins.toReversed()) {
    const conf = prevResult === undefined ? plugin.conf : { ...plugin.conf, prevResult }
    const ran = ask('DEL', pod, { ...plugin, conf })
    if (ran.code !== 0) throw new Error(`${plugin.name} DEL: ${ran.stdout}${ran.stderr}`)
  }
}
