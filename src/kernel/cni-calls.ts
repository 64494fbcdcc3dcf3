import { readdirSync, readFileSync } from 'node:fs'

/**
 * Containers that a CNI call is at work on: processes whose environment has CNI_COMMAND and names
 * them. Who inherited it (a daemon that a plugin started) counts too; what of other users, and of
 * other pid namespaces, can't be read does not.
 */
export function containersAtWork(): ReadonlySet<string> {
  const containers = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((pid) => containerOf(environmentOf(pid)) ?? [])
  return new Set(containers)
}

/** Processes end while we look at them. */
function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return ''
  }
}

/** proc(5): variables, each ended by a NUL. */
function containerOf(environment: string): string | undefined {
  if (!environment.includes('CNI_COMMAND=')) return undefined
  return /(?:^|\0)CNI_CONTAINERID=([^\0]+)/.exec(environment)?.[1]
}
