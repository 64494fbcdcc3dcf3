import { existsSync, linkSync, lstatSync, readlinkSync, renameSync, unlinkSync } from 'node:fs'
import { makeFolder } from '../store/database.ts'
import { replaceLink, syncFolder } from '../store/durable.ts'
import {
  installExecutable,
  isTulle,
  type Layout,
  launcherPlaces,
  ownName,
  removeBeside,
} from '../store/executable.ts'
import { unfitPlaces } from '../store/launcher.ts'
import {
  type Command,
  type Desk,
  jsonOption,
  requiredText,
  ToolFault,
  textOf,
  UsageFault,
} from './command.ts'
import { type Deed, nodeOptions, refuseLivingAgent, removeNode } from './uninstall-node.ts'

const keptEnding = '.before-tulle'
const defaultRunDir = '/run/tulle'
const dirOption = {
  type: 'string',
  value: 'DIR',
  default: '/opt/cni/bin',
  text: 'the folder where the runtime looks for plugins',
} as const

export const install: Command = {
  name: 'install',
  summary: 'Put this executable, and the names of plugins, into place',
  about: [
    'The file is copied beside its place, synced and renamed; so are the links, and a',
    'pod that starts meanwhile finds the old one or the new one, whole. What has such a',
    'name and is not ours stays, unless --force is given: then it is kept under',
    '<name>.before-tulle, and "tulle uninstall" puts it back.',
    '',
    'With --warm, "tulle" there is a launcher of a few KB that hands each call to the',
    'agent, which answers it in a fraction of the time that this executable takes to',
    'start; where no agent answers, it starts this executable, in .tulle/ beside it.',
  ],
  options: {
    dir: dirOption,
    names: {
      type: 'string',
      value: 'NAMES',
      default: 'none',
      text: 'plugins to stand in for: names with commas, "all" or "none"',
    },
    warm: { type: 'boolean', text: 'a launcher that asks the agent first' },
    'run-dir': {
      type: 'string',
      value: 'DIR',
      text: `with --warm: where the agent has its socket (else ${defaultRunDir})`,
    },
    force: { type: 'boolean', text: 'take the names of other plugins too, and keep those' },
    json: jsonOption,
  },
  run: runInstall,
}

export const uninstall: Command = {
  name: 'uninstall',
  summary: 'Take away what "tulle install" and the agent put into place',
  about: [
    'Removes the network list, tunnel devices, routes to other nodes and what nftables',
    'knows of the cluster; then executable, launcher and every link, and puts back what',
    '--force had kept. Nothing else is touched. Pods that run keep their network, but do',
    'not reach other nodes; their runtime can no longer take it down. Stop the agent first.',
  ],
  options: { dir: dirOption, ...nodeOptions, json: jsonOption },
  run: runUninstall,
}

function runInstall(desk: Desk): number {
  const dir = requiredText(desk, 'dir', 'DIR')
  const names = namesOf(desk)
  const layout = layoutOf(desk, dir)
  makeFolder(dir)
  const foreign = [ownName, ...names].filter((name) => stateOf(dir, name) === 'foreign')
  if (foreign.length > 0 && desk.values.force !== true) {
    const paths = foreign.map((name) => `${dir}/${name}`).join(', ')
    throw new ToolFault(
      `${paths}: there already, and not Tulle's; nothing was changed. With --force ` +
        `each is kept as <name>${keptEnding}, and "tulle uninstall" puts it back`,
    )
  }
  refuseKeptTwice(dir, foreign)
  const kept = foreign.map((name) => keep(dir, name))
  const deeds = [
    ...kept,
    ...installExecutable(dir, layout),
    ...names.flatMap((name) => installLink(dir, name)),
  ]
  return report(desk, dir, deeds)
}

function layoutOf({ values }: Desk, dir: string): Layout {
  const runDir = textOf(values, 'run-dir')
  if (values.warm !== true) {
    if (runDir === undefined) return { kind: 'alone' }
    throw new UsageFault('tulle install: --run-dir is what the launcher asks; it needs --warm')
  }
  const layout = { kind: 'warm', runDir: runDir ?? defaultRunDir } as const
  const unfit = unfitPlaces(launcherPlaces(dir, layout.runDir))
  if (unfit !== undefined) throw new UsageFault(`tulle install: ${unfit}`)
  return layout
}

function namesOf({ values, pluginNames }: Desk): readonly string[] {
  const asked = textOf(values, 'names') ?? 'none'
  const links = pluginNames.filter((name) => name !== ownName)
  if (asked === 'none') return []
  if (asked === 'all') return links
  const names = [...new Set(asked.split(',').filter((name) => name !== '' && name !== ownName))]
  const unknown = names.filter((name) => !links.includes(name))
  if (unknown.length === 0) return names
  throw new UsageFault(
    `tulle install: --names ${unknown.join(',')}: Tulle does not answer to that; ` +
      `it does to ${links.join(', ')}`,
  )
}

type State = 'absent' | 'ours' | 'foreign'

function stateOf(dir: string, name: string): State {
  const path = `${dir}/${name}`
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return 'absent'
  const isOurs =
    name === ownName
      ? found.isFile() && isTulle(path)
      : found.isSymbolicLink() && readlinkSync(path) === ownName
  return isOurs ? 'ours' : 'foreign'
}

/** A kept plugin is never written over: it may be the only copy. */
function refuseKeptTwice(dir: string, names: readonly string[]): void {
  const taken = names
    .map((name) => `${dir}/${name}${keptEnding}`)
    .filter((path) => lstatSync(path, { throwIfNoEntry: false }))
  if (taken.length > 0)
    throw new ToolFault(
      `${taken.join(', ')}: kept at an earlier install, and would be lost; nothing was changed. ` +
        'Move it away, or run "tulle uninstall" first',
    )
}

/** A second name for it; the first is then replaced by rename, so it is never missing. */
function keep(dir: string, name: string): Deed {
  const kept = `${dir}/${name}${keptEnding}`
  linkSync(`${dir}/${name}`, kept)
  return { path: kept, did: `kept, was ${name}` }
}

function installLink(dir: string, name: string): readonly Deed[] {
  if (stateOf(dir, name) === 'ours') return []
  replaceLink(`${dir}/${name}`, ownName)
  return [{ path: `${dir}/${name}`, did: `linked to ${ownName}` }]
}

function runUninstall(desk: Desk): number {
  const dir = requiredText(desk, 'dir', 'DIR')
  refuseLivingAgent(desk)
  const links = desk.pluginNames.filter((name) => name !== ownName)
  const deeds = [
    ...removeNode(desk),
    ...[...links, ownName].flatMap((name) => takeAway(dir, name)),
    ...removeBeside(dir),
  ]
  return report(desk, dir, deeds)
}

function takeAway(dir: string, name: string): readonly Deed[] {
  if (stateOf(dir, name) !== 'ours') return []
  const path = `${dir}/${name}`
  const kept = `${path}${keptEnding}`
  if (!lstatSync(kept, { throwIfNoEntry: false })) {
    unlinkSync(path)
    return [{ path, did: 'removed' }]
  }
  renameSync(kept, path)
  return [{ path, did: `put back, was ${name}${keptEnding}` }]
}

function report({ values, print }: Desk, dir: string, deeds: readonly Deed[]): number {
  if (deeds.length > 0 && existsSync(dir)) syncFolder(dir)
  if (values.json === true) print(`${JSON.stringify({ dir, changed: deeds }, undefined, 2)}\n`)
  else if (deeds.length === 0) print(`${dir}: nothing to change\n`)
  else print(deeds.map(({ path, did }) => `${path}: ${did}\n`).join(''))
  return 0
}
