import { readFileSync } from 'node:fs'
import { dirname } from 'node:path/posix'
import { bootId } from './boot.ts'
import { replaceText, syncFolder } from './durable.ts'

// In which boot a store was last found sound. Within one boot every process sees what another has
// written, whether the disk has it or not; after a power cut the file may hold any of it.

const markOf = (storePath: string): string => `${dirname(storePath)}/tulle.boot`

export function isCheckedSinceBoot(storePath: string): boolean {
  try {
    return readFileSync(markOf(storePath), 'utf8') === bootId()
  } catch (refusal) {
    if ((refusal as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw refusal
  }
}

/** On the disk before anything of this boot is: whoever comes after the next cut looks again. */
export function markChecked(storePath: string): void {
  replaceText(markOf(storePath), 0o600, bootId())
  syncFolder(dirname(storePath))
}
