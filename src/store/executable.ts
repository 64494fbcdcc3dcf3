import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path/posix'
import { getRawAsset } from 'node:sea'
import { makeFolder } from './database.ts'
import { replaceFile, syncFolder } from './durable.ts'
import { type LauncherPlaces, placedLauncher, readLauncher, unfitPlaces } from './launcher.ts'

/** The file's own name; every other name is a symbolic link to it. */
export const ownName = 'tulle'

/**
 * What has that name in the runtime's folder: this executable; or the launcher, which asks the
 * agent of that `runDir`, and this executable in a hidden folder beside it.
 */
export type Layout = { readonly kind: 'alone' } | { readonly kind: 'warm'; readonly runDir: string }

export type Placed = {
  readonly path: string
  readonly did: 'copied' | 'replaced' | 'removed'
}

const folderBeside = (dir: string): string => `${dir}/.${ownName}`

/** The paths that a launcher in that folder carries. */
export const launcherPlaces = (dir: string, runDir: string): LauncherPlaces => ({
  executable: `${folderBeside(dir)}/${ownName}`,
  socket: `${runDir}/cni.sock`,
})

/**
 * This executable in that folder, each file by rename(2): whoever starts it meanwhile finds the old
 * one or the new one, and a launcher finds the executable that it names. What was done; nothing if
 * all of it is there. Throws where the launcher can't hold a path.
 */
export function installExecutable(dir: string, layout: Layout): readonly Placed[] {
  if (layout.kind === 'alone') return [...placeExecutable(dir), ...removeBeside(dir)]
  const places = launcherPlaces(dir, layout.runDir)
  const unfit = unfitPlaces(places)
  if (unfit !== undefined) throw new Error(`Cannot install the launcher: ${unfit}`)
  const beside = folderBeside(dir)
  makeFolder(beside)
  const did = placeExecutable(beside)
  if (did.length > 0) syncFolder(beside)
  return [...did, ...placeLauncher(dir, places)]
}

function placeExecutable(dir: string): readonly Placed[] {
  const path = `${dir}/${ownName}`
  const source = process.execPath
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there?.isFile() && isSameFile(source, path)) return []
  replaceFile(path, 0o755, (fd) => copyInto(fd, source))
  return [{ path, did: there ? 'replaced' : 'copied' }]
}

function placeLauncher(dir: string, places: LauncherPlaces): readonly Placed[] {
  const path = `${dir}/${ownName}`
  const bytes = ownLauncher(places)
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there?.isFile() && there.size === bytes.length && readFileSync(path).equals(bytes)) return []
  replaceFile(path, 0o755, (fd) => writeWhole(fd, bytes))
  return [{ path, did: there ? 'replaced' : 'copied' }]
}

/** The launcher of this executable's build; only the packaged one has it. */
const ownLauncher = (places: LauncherPlaces): Uint8Array =>
  placedLauncher(new Uint8Array(getRawAsset('launcher') as ArrayBuffer), places)

/** A launcher that runs waits 50 ms for the agent, and executes what is beside it then. */
const launchersEndMilliseconds = 200

/** What a launcher needed, once there is none in the folder; nothing of anybody else's. */
export function removeBeside(dir: string): readonly Placed[] {
  const folder = folderBeside(dir)
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return []
  const path = `${folder}/${ownName}`
  const isOurs = lstatSync(path, { throwIfNoEntry: false })?.isFile() === true && isTulle(path)
  if (isOurs) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, launchersEndMilliseconds)
    rmSync(path)
  }
  const names = readdirSync(folder)
  const parts = names.filter((name) => name.startsWith('.tulle-part-'))
  for (const part of parts) rmSync(`${folder}/${part}`)
  if (parts.length === names.length) rmdirSync(folder)
  return isOurs ? [{ path, did: 'removed' }] : []
}

const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() === true

/** What stands there under a plugin's name, seen from this executable. */
export type Standing = 'same' | 'other-build' | 'no-executable' | 'foreign'

export function standingOf(path: string): Standing {
  const places = readLauncher(path)
  if (places === undefined) {
    if (isSameFile(process.execPath, path)) return 'same'
    return isTulle(path) ? 'other-build' : 'foreign'
  }
  const beside = `${folderBeside(dirname(realpathSync(path)))}/${ownName}`
  const executable = [beside, places.executable].find(isFile)
  if (executable === undefined) return 'no-executable'
  const isOfBuild = readFileSync(path).equals(ownLauncher(places))
  return isOfBuild && isSameFile(process.execPath, executable) ? 'same' : 'other-build'
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
  for (const chunk of chunksOf(source)) writeWhole(fd, chunk)
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
}

/** Two files of 115 MB are read once: who looks every half minute knows them by their times. */
let foundAlike: string | undefined

export function isSameFile(left: string, right: string): boolean {
  const [one, other] = [statSync(left), statSync(right)]
  if (one.ino === other.ino && one.dev === other.dev) return true
  if (one.size !== other.size) return false
  const states = [left, right].map(stateOf).join(' ')
  if (states === foundAlike) return true
  if (!areAlike(left, right)) return false
  foundAlike = states
  return true
}

/** What changes whenever the file is written, or another one takes its name. */
function stateOf(path: string): string {
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true })
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
}

function areAlike(left: string, right: string): boolean {
  const rest = chunksOf(right)
  for (const chunk of chunksOf(left)) if (rest.next().value?.equals(chunk) !== true) return false
  return true
}

/** In every release's first lines (its about line), and so in every executable of ours. */
const mark = 'CNI tulle plugin v'

export function isTulle(path: string): boolean {
  let end = Buffer.alloc(0)
  for (const chunk of chunksOf(path)) {
    const text = Buffer.concat([end, chunk])
    if (text.includes(mark)) return true
    end = Buffer.from(text.subarray(-mark.length))
  }
  return false
}
