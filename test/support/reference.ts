import { attach, type Extra, type Mode, type Result } from './attachment.ts'
import type { Json } from './cni.ts'
import type { Pod } from './host.ts'

/** Debian's containernetworking-plugins 1.1.1: CNI up to 1.0.0. */
export const referenceDirectory = '/usr/lib/cni'

/** The reference plugin that does what our mode does. */
const pluginOf = { routed: 'ptp', bridge: 'bridge' } as const

const withReference = (mode: Mode): Extra => ({
  plugin: `${referenceDirectory}/${pluginOf[mode]}`,
  path: referenceDirectory,
  env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
})

/** The same configuration through the reference plugins. */
export function referenceAdded(mode: Mode, pod: Pod, conf: Json): Result {
  const ran = attach('ADD', pod, conf, withReference(mode))
  if (ran.code !== 0) throw new Error(`Reference ADD exited ${ran.code}: ${ran.stdout}`)
  return JSON.parse(ran.stdout) as Result
}

export function referenceDeleted(mode: Mode, pod: Pod, conf: Json): void {
  const ran = attach('DEL', pod, conf, withReference(mode))
  if (ran.code !== 0) throw new Error(`Reference DEL exited ${ran.code}: ${ran.stdout}`)
}
