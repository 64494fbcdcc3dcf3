/** Names that the executable answers to; by each it reads and does what that plugin does. */
export const pluginNames = [
  'tulle',
  'bridge',
  'ptp',
  'flannel',
  'host-local',
  'static',
  'portmap',
  'bandwidth',
  'tuning',
  'firewall',
  'loopback',
] as const
export type PluginName = (typeof pluginNames)[number]

/** A name of somebody's own is ours as well. */
export const pluginNameOf = (called: string): PluginName =>
  pluginNames.find((name) => name === called) ?? 'tulle'
