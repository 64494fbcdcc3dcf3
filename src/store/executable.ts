import { closeSync, lstatSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { replaceFile } from './durable.ts'

/** The file's own name; every other name is a symbolic link to it. */
export const ownName = 'tulle'

/** This executable in that folder, by rename(2); what was done, undefined if it is there. */
export function installExecutable(dir: string): 'copied' | 'replaced' | undefined {
  const path = `${dir}/${ownName}`
  const source = process.execPath
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there?.isFile() && isSameFile(source, path)) return undefined
  replaceFile(path, 0o755, (fd) => copyInto(fd, source))
  return there ? 'replaced' : 'copied'
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

export function isTulle(path: string): boolean {
  let end = Buffer.alloc(0)
  for (const chunk of chunksOf(path)) {
    const text = Buffer.concat([end, chunk])
    if (text.includes(mark)) return true
    end = Buffer.from(text.subarray(-mark.length))
  }
  return false
}
