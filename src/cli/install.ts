import {
  closeSync,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { makeFolder } from '../store/database.ts'
import {
  type Command,
  type Desk,
  jsonOption,
  requiredText,
  ToolFault,
  textOf,
  UsageFault,
} from './command.ts'
import { replaceFile, replaceLink, syncFolder } from './durable.ts'

/** The file's own name; every other name is a symbolic link to it. */
const ownName = 'tulle'
const keptEnding = '.before-tulle'
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
  ],
  options: {
    dir: dirOption,
    names: {
      type: 'string',
      value: 'NAMES',
      default: 'none',
      text: 'plugins to stand in for: names with commas, "all" or "none"',
    },
    force: { type: 'boolean', text: 'take the names of other plugins too, and keep those' },
    json: jsonOption,
  },
  run: runInstall,
}

export const uninstall: Command = {
  name: 'uninstall',
  summary: 'Take away what "tulle install" put into place',
  about: [
    'Removes the executable and every link to it, and puts back what --force had kept.',
    'Pods that run keep their network; their runtime can no longer take it down.',
  ],
  options: { dir: dirOption, json: jsonOption },
  run: runUninstall,
}

type Deed = { readonly path: string; readonly did: string }

function runInstall(desk: Desk): number {
  const dir = requiredText(desk, 'dir', 'DIR')
  const names = namesOf(desk)
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
  const deeds = [...kept, ...installFile(dir), ...names.flatMap((name) => installLink(dir, name))]
  return report(desk, dir, deeds)
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
      ? found.isFile() && isOwnExecutable(path)
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

function installFile(dir: string): readonly Deed[] {
  const path = `${dir}/${ownName}`
  const source = process.execPath
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there?.isFile() && isSameFile(source, path)) return []
  replaceFile(path, 0o755, (fd) => copyInto(fd, source))
  return [{ path, did: there ? 'replaced' : 'copied' }]
}

function installLink(dir: string, name: string): readonly Deed[] {
  if (stateOf(dir, name) === 'ours') return []
  replaceLink(`${dir}/${name}`, ownName)
  return [{ path: `${dir}/${name}`, did: `linked to ${ownName}` }]
}

function runUninstall(desk: Desk): number {
  const dir = requiredText(desk, 'dir', 'DIR')
  const links = desk.pluginNames.filter((name) => name !== ownName)
  const deeds = [...links, ownName].flatMap((name) => takeAway(dir, name))
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
  if (deeds.length > 0) syncFolder(dir)
  if (values.json === true) print(`${JSON.stringify({ dir, changed: deeds }, undefined, 2)}\n`)
  else if (deeds.length === 0) print(`${dir}: nothing to change\n`)
  else print(deeds.map(({ path, did }) => `${path}: ${did}\n`).join(''))
  return 0
}

const chunkBytes = 1 << 20

/** The file's bytes, chunk by chunk; the chunk is valid until the next one is asked for. */
function* chunksOf(path: string): Generator<Buffer> {
  const fd = openSync(path, 'r')
  const chunk = Buffer.alloc(chunkBytes)
  try {
    for (;;) {
      const length = readSync(fd, chunk)
      if (length === 0) return
      yield chunk.subarray(0, length)
    }
  } finally {
    closeSync(fd)
  }
}

function copyInto(fd: number, source: string): void {
  for (const chunk of chunksOf(source))
    for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at)
}

export function isSameFile(left: string, right: string): boolean {
  const [one, other] = [statSync(left), statSync(right)]
  if (one.ino === other.ino && one.dev === other.dev) return true
  if (one.size !== other.size) return false
  const rest = chunksOf(right)
  for (const chunk of chunksOf(left)) if (rest.next().value?.equals(chunk) !== true) return false
  return true
}

/** In every release's first lines (its about line), and so in every executable of ours. */
const mark = 'CNI tulle plugin v'

export function isOwnExecutable(path: string): boolean {
  let end = Buffer.alloc(0)
  for (const chunk of chunksOf(path)) {
    const text = Buffer.concat([end, chunk])
    if (text.includes(mark)) return true
    end = Buffer.from(text.subarray(-mark.length))
  }
  return false
}
