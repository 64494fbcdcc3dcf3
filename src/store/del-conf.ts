import { confIn, dataDirIn, type PluginConf, readNetworkLists } from './network-lists.ts'
import { defaultDataDir } from './places.ts'

/** For an external IPAM plugin, and for what flannel handed to a plugin that is not ours. */
export const pluginFolders = ['/opt/cni/bin', '/usr/lib/cni']

export type DelAsked = {
  readonly plugin: string
  readonly network: string
  readonly dataDir: string
  /** Of the runtime's network lists. */
  readonly confDir: string
  readonly filed: ReadonlySet<string>
}

/**
 * What a runtime that forgot a pod would have asked DEL with. The network's own, where the node
 * still has it: an external IPAM plugin is then told too. Else as much as DEL needs, which finds
 * the rest on record.
 */
export function delConfOf(asked: DelAsked): PluginConf {
  const { plugin, network, dataDir, confDir, filed } = asked
  const own = confIn(readNetworkLists(confDir), { plugin, network })
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
