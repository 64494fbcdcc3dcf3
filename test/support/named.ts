import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { attach, type Extra, type PodVerb, type Result } from './attachment.ts'
import { executable, type Json } from './cni.ts'
import type { Host, Pod } from './host.ts'
import type { Ran } from './netns.ts'
import { referenceDirectory } from './reference.ts'

/** Who is asked: our executable under a reference plugin's name, or that plugin. */
export type Maker = 'ours' | 'reference'

/** Our executable under another name, as an installation links it. */
export function named(host: Host, name: string): string {
  const directory = join(host.directory, 'names')
  mkdirSync(directory, { recursive: true })
  const path = join(directory, name)
  if (!existsSync(path)) symlinkSync(executable, path)
  return path
}

const pluginOf = (maker: Maker, host: Host, name: string): Extra =>
  maker === 'ours'
    ? { plugin: named(host, name) }
    : {
        plugin: join(referenceDirectory, name),
        path: referenceDirectory,
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      }

export type Asked = Readonly<{ maker: Maker; name: string; conf: Json }>

/** One verb of one plugin of a chain. */
export const ask = (verb: PodVerb, pod: Pod, { maker, name, conf }: Asked, more: Extra = {}): Ran =>
  attach(verb, pod, conf, { ...pluginOf(maker, pod.host, name), ...more })

/** As `ask` for what has to succeed: the result of ADD, nothing of the others. */
export function asked(verb: PodVerb, pod: Pod, what: Asked, more: Extra = {}): Result {
  const ran = ask(verb, pod, what, more)
  const isQuiet = verb === 'ADD' || ran.stdout === ''
  if (ran.code !== 0 || !isQuiet)
    throw new Error(`${what.maker} ${what.name} ${verb} exited ${ran.code}: ${ran.stdout}`)
  return verb === 'ADD' ? (JSON.parse(ran.stdout) as Result) : {}
}
