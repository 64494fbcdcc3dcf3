import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path/posix'
import { parseEnvironment } from '../../cni/environment.ts'
import { LinkRemover } from '../../kernel/link-remover.ts'
import type { Native } from '../../kernel/native.ts'
import { OpenDatabases } from '../../store/open-databases.ts'
import type { Pausing } from '../pausing.ts'
import { type Line, replaying } from './transcript.ts'
import { prepare } from './verbs.ts'

// V8 translates what has run a few times, and better what has run often: the first ADD of a worker
// took five times as long as its hundredth. So it plays the calls of a pod that is not there, with
// the answers that a kernel gave when the executable was built, while nobody asks it for anything.

export const modes = ['bridge', 'routed'] as const
export type Mode = (typeof modes)[number]

/** Of an ADD and the DEL after it: of a store's first pod, and of one that comes later. */
export type Acts = { readonly first: readonly Line[]; readonly again: readonly Line[] }
export type Script = Readonly<Record<Mode, Acts>>

/** One address, so that it is the same each time; no sysctls, which need a file of the host. */
const configOf = (mode: Mode, folder: string): string =>
  JSON.stringify({
    cniVersion: '1.1.0',
    name: 'tulle-rehearsal',
    type: 'tulle',
    mode,
    ipMasq: true,
    dataDir: folder,
    policy: { enforce: true, runDir: folder },
    runtimeConfig: {
      portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
      bandwidth: { ingressRate: 1e8, ingressBurst: 8e6, egressRate: 1e8, egressBurst: 8e6 },
    },
    ipam: {
      type: 'host-local',
      ranges: [
        [{ subnet: '192.0.2.0/24', rangeStart: '192.0.2.9', rangeEnd: '192.0.2.9' }],
        [{ subnet: '2001:db8::/64', rangeStart: '2001:db8::9', rangeEnd: '2001:db8::9' }],
      ],
      routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    },
  })

/** A folder for the store, and the pod's namespace, which nobody enters unless `native` does. */
export type Stage = {
  readonly native: Native
  readonly folder: string
  readonly netnsFd: number
  readonly stores: OpenDatabases
}

/** ADD and DEL of one pod, as the worker does them. */
export function* perform({ native, folder, netnsFd, stores }: Stage, mode: Mode): Pausing<void> {
  const remover = new LinkRemover(native)
  for (const verb of ['ADD', 'DEL']) {
    const environment = parseEnvironment({
      CNI_COMMAND: verb,
      CNI_CONTAINERID: 'rehearsal',
      CNI_NETNS: '/proc/self/ns/net',
      CNI_NETNS_OVERRIDE: '1',
      CNI_IFNAME: 'eth0',
    })
    const note = (): void => undefined
    const called = {
      native,
      plugin: 'tulle',
      note,
      netnsFd,
      stores,
      remover,
      attempt: '1',
    } as const
    const prepared = prepare({ called, environment, input: configOf(mode, folder) })
    if (!prepared) throw new Error(`Cannot rehearse ${verb}: it is left to processes`)
    yield* prepared.work()
  }
}

/** Twice as many gain little more, and a node has other things to do when its agent starts. */
const performances = 30

/** Below the agent's own folder; one that was killed at it leaves it to the next. */
export const rehearsalFolder = '.rehearsal'

/**
 * One ADD and DEL at a time; yields after each. What it writes is in a folder of its own, gone at
 * the end, below `runDir`.
 * @throws {OffScript} on a node that differs from the one that the script is of (no IPv6, say).
 */
export function* rehearse(
  base: Native,
  readScript: () => Script | undefined,
  runDir: string,
): Generator<undefined> {
  const script = readScript()
  if (!script) return
  const folder = join(runDir, rehearsalFolder)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { mode: 0o700 })
  const netnsFd = openSync('/proc/self/ns/net', 'r')
  const stores = new OpenDatabases()
  try {
    for (let count = 0; count < performances; count += 1)
      for (const mode of modes) {
        const native = replaying(base, script[mode][count === 0 ? 'first' : 'again'])
        const work = perform({ native, folder: join(folder, mode), netnsFd, stores }, mode)
        // Nobody to wait for: what was waited for is in the script.
        while (!work.next().done);
        yield undefined
      }
  } finally {
    stores.closeAll()
    closeSync(netnsFd)
    rmSync(folder, { recursive: true, force: true })
  }
}
