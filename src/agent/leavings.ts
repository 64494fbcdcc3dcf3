import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { nameOf } from '../datapath/attachment.ts'
import { type Remains, remainsIn } from '../datapath/gone.ts'
import { containersAtWork } from '../kernel/cni-calls.ts'
import { runLater } from '../kernel/later-program.ts'
import type { Native } from '../kernel/native.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { lifeOf, lifeStamp } from '../store/boot.ts'
import { waitingAtMost } from '../store/database.ts'
import { delConfOf, pluginFolders } from '../store/del-conf.ts'
import { LeaseStore } from '../store/lease-store.ts'
import { defaultConfDir } from '../store/places.ts'
import { type Records, recordsIn } from '../store/records.ts'
import type { CollectLoopOptions, Leavings } from './collect-loop.ts'
import type { AgentConfig } from './config.ts'

/** ADDs go first; whoever looks after pods that are gone comes again. */
const lockWaitMilliseconds = 100

export type Place = {
  readonly native: Native
  readonly route: RouteSocket
  readonly dataDir: string
}

const nothing: Leavings = { remains: [], filed: new Set() }

/**
 * What the store has on record of pods that look as if they were gone. From another network
 * namespace than the records' all of them would: then nothing is told of any. Where that is a node
 * that is itself a container and was started again, the next ADD knows.
 */
export function lookForLeavings({ native, route, dataDir }: Place): Leavings {
  if (!existsSync(`${dataDir}/tulle.db`)) return nothing
  // Links before records: a link that is made meanwhile is of a record that is there by then.
  const links = new Set(route.links().map(({ name }) => name))
  const busy = containersAtWork()
  const lock = waitingAtMost(native.lock, lockWaitMilliseconds)
  const stamp = lifeStamp(route.netnsCookie())
  return LeaseStore.use(dataDir, lock, (store) => {
    const life = lifeOf(store.meta('life'), stamp)
    if (life === 'elsewhere') return nothing
    const records = recordsIn(store, dataDir)
    const isEarlierBoot = life === 'earlier-boot'
    const remains = remainsIn({ ...records, links, busy, isEarlierBoot })
    return {
      remains: remains.map((one) => ({ ...one, record: recordOf(one, records) })),
      filed: records.filed,
    }
  })
}

/** All that is on record of a pod's interface: another pod under its name has another. */
function recordOf(remains: Remains, { attachments, extras, holders }: Records): string {
  const name = nameOf(remains)
  const own = [attachments, extras, holders].map((all) => all.filter((one) => nameOf(one) === name))
  return JSON.stringify(own, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
}

/** A DEL waits for the store's lock, 20 s at most, and works some 50 ms. */
const delLimitMilliseconds = 30_000

export type Deletion = {
  readonly executable: string
  readonly dataDir: string
  /** Of the runtime's network lists. */
  readonly confDir: string
  readonly binDir: string
  readonly filed: ReadonlySet<string>
}

/**
 * Takes a pod away as its runtime would: DEL of this very executable, by each name that has a
 * share.
 */
export async function runDel(remains: Remains, deletion: Deletion): Promise<void> {
  const { network, container, ifname, plugins } = remains
  const { executable, binDir, ...place } = deletion
  const { PATH = '', TULLE_PROC_SYS } = process.env
  const env = {
    PATH,
    ...(TULLE_PROC_SYS === undefined ? {} : { TULLE_PROC_SYS }),
    CNI_COMMAND: 'DEL',
    CNI_CONTAINERID: container,
    CNI_IFNAME: ifname,
    CNI_PATH: [binDir, ...pluginFolders.filter((folder) => folder !== binDir)].join(':'),
  }
  for (const plugin of plugins) {
    const conf = delConfOf({ plugin, network, ...place })
    const { code, stdout, stderr } = await runLater(executable, {
      name: conf.type,
      input: JSON.stringify(conf),
      env,
      limitMilliseconds: delLimitMilliseconds,
    })
    if (code === 0) continue
    const said = (stdout || stderr).trim().slice(0, 500)
    throw new Error(`Cannot DEL ${container}/${ifname} by ${conf.type}: ${said}`)
  }
}

/** How an agent of this configuration sees gone pods, and takes them away. */
export function leavingsOf(
  { dataDir, binDir, conflist }: Pick<AgentConfig, 'dataDir' | 'binDir' | 'conflist'>,
  at: Omit<Place, 'dataDir'>,
): Pick<CollectLoopOptions, 'look' | 'del'> {
  const confDir = conflist === undefined ? defaultConfDir : dirname(conflist)
  return {
    look: () => lookForLeavings({ ...at, dataDir }),
    del: (remains, filed) =>
      runDel(remains, { executable: process.execPath, dataDir, binDir, confDir, filed }),
  }
}
