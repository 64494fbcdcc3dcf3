import { readFileSync } from 'node:fs'

/**
 * Names this life of the node: the kernel's boot id, and the cookie of the network namespace that
 * Tulle works in, which is never given twice in one boot. Pods of another life are gone, also where
 * a "node" is itself a container that was started again without a boot (kind, rootless runtimes).
 */
export const lifeStamp = (netnsCookie: bigint | undefined): string =>
  `${bootId()} ${netnsCookie ?? 'unknown'}`

/** random(4): never the same for two boots. */
export const bootId = (): string => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()

/** Whose life the records are of: only in this one do links tell who lives. */
export type Life = 'this' | 'earlier-boot' | 'elsewhere'

export function lifeOf(known: string | undefined, now: string): Life {
  if (known === undefined || known === now) return 'this'
  return known.split(' ')[0] === now.split(' ')[0] ? 'elsewhere' : 'earlier-boot'
}

/** When the machine came up, in milliseconds since 1970 (btime of /proc/stat, whole seconds). */
export function bootMilliseconds(): number {
  const line = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))
  return line?.[1] ? Number(line[1]) * 1000 : 0
}
