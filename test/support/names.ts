import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Extra } from './attachment.ts'
import { executable } from './cni.ts'
import type { Host } from './host.ts'
import { referenceDirectory } from './reference.ts'

export type Name = 'bridge' | 'ptp' | 'host-local' | 'static' | 'flannel'

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

const names: readonly Name[] = ['bridge', 'ptp', 'host-local', 'static', 'flannel']

/** Ours, called by that name, with nothing but its other names in CNI_PATH. */
export function asOurs(host: Host, name: Name): Extra {
  const links = Object.fromEntries(names.map((one) => [one, executable]))
  const path = folderOf(host, 'named', links)
  return { plugin: `${path}/${name}`, path }
}

/** Debian's plugin of that name, and its own for everything else. */
export const asReference = (_host: Host, name: Name): Extra => ({
  plugin: `${referenceDirectory}/${name}`,
  path: referenceDirectory,
  env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
})
