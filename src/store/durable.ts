import {
  closeSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path/posix'

// Files that are there whole or not at all, whenever the power goes: written beside, synced,
// renamed, and the folder synced.

/** Makes `path` by `fill`, which writes to an open file; whoever reads it never sees a part. */
export function replaceFile(path: string, mode: number, fill: (fd: number) => void): void {
  const part = partOf(path)
  const fd = openSync(part, 'wx', mode)
  try {
    fill(fd)
    fsyncSync(fd)
  } catch (refusal) {
    rmSync(part, { force: true })
    throw refusal
  } finally {
    closeSync(fd)
  }
  renameSync(part, path)
}

export const replaceText = (path: string, mode: number, text: string): void =>
  replaceFile(path, mode, (fd) => writeFileSync(fd, text))

/** A symbolic link in the place of whatever has that name. */
export function replaceLink(path: string, target: string): void {
  const part = partOf(path)
  symlinkSync(target, part)
  renameSync(part, path)
}

/** Hidden, so that no directory scan takes it for a plugin or a lease. */
function partOf(path: string): string {
  const folder = dirname(path)
  const part = `${folder}/.tulle-part-${process.pid}`
  rmSync(part, { force: true })
  return part
}

/** Makes the names in a folder durable. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
