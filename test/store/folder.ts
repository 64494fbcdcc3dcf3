import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Lock } from '../../src/store/database.ts'

/** For a folder that nobody else uses. */
export const free: Lock = () => 0

/** In memory where there is such a place: a test asks what is synced, and need not wait for it. */
const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** Lends a folder of its own, and removes it whatever happens. */
export async function withFolder(use: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(base, 'tulle-store-'))
  try {
    await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
