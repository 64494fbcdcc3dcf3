import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'

// What a process asks of the disk, as strace tells it, and what a disk without power keeps of it.

export type Event =
  | { readonly kind: 'write'; readonly file: string; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly file: string; readonly length: number }
  | { readonly kind: 'remove'; readonly file: string }
  /** The file, or its folder, is on the disk as it is now. */
  | { readonly kind: 'sync'; readonly file: string }
  /** The process has said that it is done. */
  | { readonly kind: 'told' }

const calls = ['openat', 'write', 'pwrite64', 'pwritev', 'writev', 'fsync', 'fdatasync']
const others = ['ftruncate', 'fallocate', 'unlink', 'rename', 'sync_file_range', 'mmap']

/** Runs a program to its end; what it did to files of `folder`, in order. */
export function recordDisk(folder: string, argv: readonly string[]): readonly Event[] {
  const traces = mkdtempSync(join(dirname(folder), 'trace-'))
  try {
    const trace = `trace=${[...calls, ...others].join(',')}`
    const words = ['-ff', '-qq', '-y', '-xx', '-s', '1000000', '-e', trace, '-o', `${traces}/t`]
    const done = spawnSync('strace', [...words, ...argv], { encoding: 'utf8' })
    if (done.status !== 0) throw new Error(`Cannot record: ${done.error ?? done.stderr}`)
    const texts = readdirSync(traces).map((name) => readFileSync(join(traces, name), 'latin1'))
    const told = toHexText('committed')
    const main = texts.find((text) => text.includes(told))
    if (main === undefined) throw new Error('Cannot record: the program has not said "committed"')
    return main.split('\n').flatMap((line) => eventOf(line, folder) ?? [])
  } finally {
    rmSync(traces, { recursive: true, force: true })
  }
}

const toHexText = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
const bytesOf = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex')

/** One line of strace: call(fd<path>, …) = result; texts and paths are \x… throughout. */
function eventOf(line: string, folder: string): Event | undefined {
  const [, call = '', words = '', result = ''] = /^(\w+)\((.*)\)\s+= (-?\d+)/.exec(line) ?? []
  if (call === '' || result.startsWith('-')) return undefined
  const path = bytesOf(/<((?:\\x..)*)>/.exec(words)?.[1] ?? '').toString()
  const [text = ''] = /"((?:\\x..)*)"/.exec(words)?.slice(1) ?? []
  if (call === 'write' && bytesOf(text).toString().startsWith('committed')) return { kind: 'told' }
  if (call === 'unlink') {
    const removed = bytesOf(text).toString()
    return dirname(removed) === folder ? { kind: 'remove', file: basename(removed) } : undefined
  }
  if (path === folder) return call.endsWith('sync') ? { kind: 'sync', file: '.' } : undefined
  if (dirname(path) !== folder) return undefined
  const file = basename(path)
  const numbers = words.split(', ').map(Number)
  switch (call) {
    case 'openat':
    case 'mmap':
      return undefined
    case 'pwrite64':
      return { kind: 'write', file, at: numbers.at(-1) ?? 0, bytes: bytesOf(text) }
    case 'write': // one call, of a file that was just made
      return { kind: 'write', file, at: 0, bytes: bytesOf(text) }
    case 'ftruncate':
      return { kind: 'truncate', file, length: numbers.at(-1) ?? 0 }
    case 'fsync':
    case 'fdatasync':
      return { kind: 'sync', file }
    default:
      throw new Error(`Cannot replay ${call} of ${file}`)
  }
}

export type Files = ReadonlyMap<string, Buffer>

/** The database and its journal, as they are in the folder now. */
export function readFiles(folder: string): Files {
  const names = ['tulle.db', 'tulle.db-journal'].filter((name) => existsSync(join(folder, name)))
  return new Map(names.map((name) => [name, readFileSync(join(folder, name))]))
}

/** A folder that holds these files and nothing else. */
export function writeFiles(folder: string, files: Files): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes)
}

/** Everything up to here has happened. */
export const afterAll = (files: Files, events: readonly Event[]): Files =>
  events.reduce(after, files)

/** One change more. */
export function after(files: Files, event: Event): Files {
  if (event.kind === 'sync' || event.kind === 'told') return files
  const next = new Map(files)
  if (event.kind === 'remove') {
    next.delete(event.file)
    return next
  }
  const old = files.get(event.file) ?? Buffer.alloc(0)
  if (event.kind === 'truncate') {
    const longer = Buffer.alloc(Math.max(0, event.length - old.length))
    next.set(event.file, Buffer.concat([old.subarray(0, event.length), longer]))
    return next
  }
  const { at, bytes } = event
  const room = Buffer.concat([old, Buffer.alloc(Math.max(0, at + bytes.length - old.length))])
  bytes.copy(room, at)
  next.set(event.file, room)
  return next
}
