import { existsSync } from 'node:fs'
import { type Remains, remainsIn } from '../datapath/gone.ts'
import { containersAtWork } from '../kernel/cni-calls.ts'
import { runProgram } from '../kernel/program.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { lifeOf, lifeStamp } from '../store/boot.ts'
import { delConfOf, pluginFolders } from '../store/del-conf.ts'
import { recordsIn } from '../store/records.ts'
import { type Desk, requiredText, ToolFault } from './command.ts'
import { withStore } from './leases.ts'

/** One look at the store and at the kernel. */
export type Look = {
  readonly remains: readonly Remains[]
  /** Records of any kind, those that live included. */
  readonly records: number
  /** Networks whose leases are files too, in host-local's folder in the data directory. */
  readonly filed: ReadonlySet<string>
}

export function lookForRemains(desk: Desk): Look {
  const dataDir = requiredText(desk, 'data-dir', 'DIR')
  const host = new RouteSocket(desk.loadNative(), -1, 'the host')
  try {
    // Links before records: a link that is made meanwhile is of a record that is there by then.
    const links = new Set(host.links().map(({ name }) => name))
    const busy = containersAtWork()
    return withStore(desk, (store) => {
      const isEarlierBoot = refuseElsewhere(store.meta('life'), lifeStamp(host.netnsCookie()))
      const records = recordsIn(store, dataDir)
      const { attachments, extras, holders, filed } = records
      return {
        remains: remainsIn({ ...records, links, busy, isEarlierBoot }),
        records: attachments.length + extras.length + holders.length,
        filed,
      }
    })
  } finally {
    host.close()
  }
}

/** True after a boot. From another network namespace every pod would look as if it were gone. */
function refuseElsewhere(known: string | undefined, now: string): boolean {
  const life = lifeOf(known, now)
  if (life !== 'elsewhere') return life === 'earlier-boot'
  throw new ToolFault(
    'the store is of another network namespace than this one, where no pod of its can be seen; ' +
      "nothing was changed. Run this in the host's network namespace",
  )
}

export type Removal = {
  readonly remains: Remains
  /** What a plugin said against it. */
  readonly refusal?: string
}

/** Takes it away as a runtime would: this executable's own DEL, by each name that has a share. */
export function takeAway(desk: Desk, remains: Remains, { filed }: Look): Removal {
  const { network, container, ifname } = remains
  const dataDir = requiredText(desk, 'data-dir', 'DIR')
  const confDir = requiredText(desk, 'conf-dir', 'DIR')
  const refusals = remains.plugins.flatMap((plugin) => {
    const conf = delConfOf({ plugin, network, dataDir, confDir, filed })
    const { code, stdout } = runProgram(
      process.execPath,
      JSON.stringify(conf),
      {
        PATH: process.env.PATH ?? '',
        CNI_COMMAND: 'DEL',
        CNI_CONTAINERID: container,
        CNI_IFNAME: ifname,
        CNI_PATH: pluginFolders.filter((folder) => existsSync(folder)).join(':'),
      },
      conf.type,
    )
    return code === 0 ? [] : [`DEL by ${conf.type}: ${stdout.trim() || `exit code ${code}`}`]
  })
  return refusals.length === 0 ? { remains } : { remains, refusal: refusals.join('; ') }
}
