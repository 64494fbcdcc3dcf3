import { existsSync } from 'node:fs'
import { type Remains, remainsIn, type Sight } from '../datapath/gone.ts'
import { containersAtWork } from '../kernel/cni-calls.ts'
import { runProgram } from '../kernel/program.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { lifeStamp } from '../store/boot.ts'
import { type Desk, requiredText, ToolFault } from './command.ts'
import { defaultDataDir, withStore } from './leases.ts'
import { confIn, dataDirIn, type PluginConf, readNetworkLists } from './network-lists.ts'

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
      const attachments = store.attachments()
      const extras = store.extras.all()
      const holders = store.leases()
      const networks = new Set(
        [...attachments, ...extras, ...holders].map(({ network }) => network),
      )
      const delegates = [...networks].flatMap((network) => store.delegates.all(network))
      const sight: Sight = { attachments, extras, delegates, holders, links, busy, isEarlierBoot }
      const isFiled = (name: string): boolean =>
        store.meta(`adopted ${dataDir}/${name}`) !== undefined
      return {
        remains: remainsIn(sight),
        records: attachments.length + extras.length + holders.length,
        filed: new Set([...networks].filter(isFiled)),
      }
    })
  } finally {
    host.close()
  }
}

/** Whose life the records are of: only in this one do links tell who lives. */
export type Life = 'this' | 'earlier-boot' | 'elsewhere'

export function lifeOf(known: string | undefined, now: string): Life {
  if (known === undefined || known === now) return 'this'
  return known.split(' ')[0] === now.split(' ')[0] ? 'elsewhere' : 'earlier-boot'
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
  const refusals = remains.plugins.flatMap((plugin) => {
    const { type, ...conf } = confOf(desk, { plugin, network, filed })
    const { code, stdout } = runProgram(
      process.execPath,
      JSON.stringify({ ...conf, type }),
      {
        PATH: process.env.PATH ?? '',
        CNI_COMMAND: 'DEL',
        CNI_CONTAINERID: container,
        CNI_IFNAME: ifname,
        CNI_PATH: pluginFolders.filter((folder) => existsSync(folder)).join(':'),
      },
      type,
    )
    return code === 0 ? [] : [`DEL by ${type}: ${stdout.trim() || `exit code ${code}`}`]
  })
  return refusals.length === 0 ? { remains } : { remains, refusal: refusals.join('; ') }
}

/** For an external IPAM plugin, and for what flannel handed to a plugin that is not ours. */
const pluginFolders = ['/opt/cni/bin', '/usr/lib/cni']

type Asked = {
  readonly plugin: string
  readonly network: string
  readonly filed: ReadonlySet<string>
}

/**
 * The network's own, where the node still has it: an external IPAM plugin is then told too. Else as
 * much as DEL needs, which finds the rest on record.
 */
function confOf(desk: Desk, { plugin, network, filed }: Asked): PluginConf {
  const dataDir = requiredText(desk, 'data-dir', 'DIR')
  const own = confIn(readNetworkLists(requiredText(desk, 'conf-dir', 'DIR')), { plugin, network })
  const { prevResult: _, ...kept } = own ?? { type: plugin }
  if (own && (dataDirIn(own) ?? defaultDataDir) === dataDir) return kept
  const conf = { cniVersion: '1.0.0', name: network, type: plugin }
  // With ipam.dataDir host-local's files are in that folder too; without, in its own default.
  if (filed.has(network)) return { ...conf, ipam: { type: 'host-local', dataDir } }
  const ipam = { type: 'host-local' }
  return plugin === 'flannel'
    ? { ...conf, ipam, delegate: { type: 'bridge', dataDir } }
    : { ...conf, ipam, dataDir }
}
