import { readFileSync, unlinkSync } from 'node:fs'

/** The text of a file; undefined if it is not there. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw refusal
  }
}

/** Removes a file, if it is there. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code !== 'ENOENT') throw refusal
  }
}
