import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Extra } from './attachment.ts'
import type { Host } from './host.ts'
import type { Ran } from './netns.ts'

/** Calls by which the plugin changes the world: netlink, /proc/sys, and the store's files. */
export const changing = [
  'sendto',
  'sendmsg',
  'write',
  'writev',
  'pwrite64',
  'pwritev',
  'fdatasync',
  'fsync',
  'ftruncate',
  'fallocate',
  'rename',
  'unlink',
  'unlinkat',
  'mkdir',
  'flock',
] as const

/** Calls whose refusal an ADD has to survive or to undo; libuv's own pipes are not among them. */
export const refusable = [
  'sendto',
  'sendmsg',
  'recvfrom',
  'recvmsg',
  'pwrite64',
  'fdatasync',
  'fsync',
  'ftruncate',
  'unlink',
  'flock',
  'mkdir',
] as const

/** Stops the plugin at the named calls alone, so it runs near full speed. */
const fast = '--seccomp-bpf'

const strace = (names: readonly string[], rest: readonly string[]): readonly string[] => [
  '/usr/bin/strace',
  '-f',
  '-qqq',
  '-e',
  `trace=${names.join(',')}`,
  ...rest,
]

export type Place = Readonly<{ name: string; when: number }>

/** What libuv tells its threads, and the plugin's own library on its way into memory. */
const inside = /^\d*\s*\w+\(\d+<(anon_inode|.*\(deleted\)>)/

/**
 * Every one of these calls that a run makes, as a place where a fault can be put. strace counts per
 * thread and per call, so "the third sendto" is the same place in every run.
 */
export function placesOf(
  host: Host,
  names: readonly string[],
  ask: (extra: Extra) => Ran,
): readonly Place[] {
  const file = join(host.directory, 'trace')
  const ran = ask({ wrapper: strace(names, [fast, '-y', '-o', file]) })
  if (ran.code !== 0) throw new Error(`Cannot trace the calls: ${ran.stdout}${ran.stderr}`)
  return placesIn(readFileSync(file, 'utf8'))
}

/**
 * The places that each of three runs has. A call that waits for the kernel asks it again, on a busy
 * machine often: those places are few or many by chance, and the same state to die in.
 */
export async function placesEveryTime(
  once: () => Promise<readonly Place[]>,
): Promise<readonly Place[]> {
  const first = await once()
  const others = [await once(), await once()]
  const isIn = (places: readonly Place[], { name, when }: Place): boolean =>
    places.some((other) => other.name === name && other.when === when)
  return first.filter((place) => others.every((places) => isIn(places, place)))
}

/** The places of a trace that strace -f -y has written. */
export function placesIn(trace: string): readonly Place[] {
  const perThread = new Map<string, number>()
  const places = new Map<string, Place>()
  for (const line of trace.split('\n')) {
    const [, thread, name] = /^(\d*)\s*(\w+)\(/.exec(line) ?? []
    if (thread === undefined || name === undefined) continue
    const when = (perThread.get(`${name} ${thread}`) ?? 0) + 1
    perThread.set(`${name} ${thread}`, when)
    if (!inside.test(line)) places.set(`${name} ${when}`, { name, when })
  }
  return [...places.values()]
}

/**
 * Dies as the call is entered, before the kernel does anything for it. Not `fast`: strace 6.1
 * injects no signals then, in silence.
 */
export const killedAt = ({ name, when }: Place): Extra => ({
  wrapper: strace([name], ['-o', '/dev/null', '-e', `inject=${name}:signal=SIGKILL:when=${when}`]),
})

/** The call is not made, and fails with this errno. */
export const refusedAt = ({ name, when }: Place, errno: string): Extra => ({
  wrapper: strace(
    [name],
    [fast, '-o', '/dev/null', '-e', `inject=${name}:error=${errno}:when=${when}`],
  ),
})

/** `run` maps a death by signal to -1. */
export const wasKilled = (ran: Ran): boolean => ran.code === -1
