import { readFileSync } from 'node:fs'

/**
 * Field 22 of /proc/PID/stat, in ticks since the machine's start: with the id it names one process
 * for ever. A process that is gone, or dead and not yet reaped, has none.
 */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

/** The one child of a process that forked in order to enter a PID namespace. */
export function childOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  if (!/^\d+$/.test(children)) throw new Error(`Process ${pid} has children "${children}"`)
  return Number(children)
}
