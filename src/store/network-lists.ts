import { readdirSync, readFileSync } from 'node:fs'

export type PluginConf = Readonly<Record<string, unknown>> & { readonly type: string }

/** One file of the folder, as runtimes read it. */
export type NetworkList = {
  readonly file: string
  readonly name: string
  readonly cniVersion: string
  /** In their order; of a .conf file, the one. */
  readonly plugins: readonly PluginConf[]
}
export type BrokenList = { readonly file: string; readonly problem: string }

/**
 * Every network of the folder in the order of file names, which is the order in which libcni takes
 * them: a runtime that is told of none uses the first that is valid.
 */
export function readNetworkLists(folder: string): readonly (NetworkList | BrokenList)[] {
  let names: readonly string[]
  try {
    names = readdirSync(folder)
  } catch {
    return []
  }
  return names
    .filter((name) => /\.(conf|conflist|json)$/.test(name))
    .sort()
    .map((name) => readList(`${folder}/${name}`))
}

export const isBroken = (list: NetworkList | BrokenList): list is BrokenList => 'problem' in list

function readList(file: string): NetworkList | BrokenList {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (refusal) {
    return { file, problem: refusal instanceof Error ? refusal.message : String(refusal) }
  }
  if (!isObject(value)) return { file, problem: 'it is no JSON object' }
  const { name, cniVersion } = value
  const plugins = file.endsWith('.conflist') ? value.plugins : [value]
  if (typeof name !== 'string' || name === '') return { file, problem: 'it has no "name"' }
  if (!Array.isArray(plugins) || plugins.length === 0)
    return { file, problem: 'it has no "plugins"' }
  const odd = plugins.findIndex((plugin) => !isPlugin(plugin))
  if (odd >= 0) return { file, problem: `plugin ${odd} of its list has no "type"` }
  const version = typeof cniVersion === 'string' ? cniVersion : '0.1.0'
  return { file, name, cniVersion: version, plugins: plugins.filter(isPlugin) }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isPlugin = (value: unknown): value is PluginConf =>
  isObject(value) && typeof value.type === 'string' && value.type !== ''

/** What the executable is to interfaces under these names; all of them keep one kind of record. */
const makers = ['tulle', 'bridge', 'ptp']

/** A plugin's own configuration in a network, as its runtime hands it over; undefined if none. */
export function confIn(
  lists: readonly (NetworkList | BrokenList)[],
  { network, plugin }: { readonly network: string; readonly plugin: string },
): PluginConf | undefined {
  const names = plugin === 'tulle' ? makers : [plugin]
  for (const list of lists) {
    if (isBroken(list) || list.name !== network) continue
    const found = list.plugins.find(({ type }) => names.includes(type))
    if (found) return { ...found, name: list.name, cniVersion: list.cniVersion }
  }
  return undefined
}

/** Where a plugin's configuration has the store; undefined for one that does not say. */
export function dataDirIn({ ipam, dataDir }: PluginConf): string | undefined {
  const own = isObject(ipam) ? ipam.dataDir : undefined
  return [own, dataDir].find((one) => typeof one === 'string' && one !== '') as string | undefined
}
