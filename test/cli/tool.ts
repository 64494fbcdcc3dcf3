import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { executable } from '../support/cni.ts'
import { type Netns, type Ran, run } from '../support/netns.ts'

/** The operator's tool as a person starts it, on a node or on this machine. */
export const tool = (words: readonly string[], node?: Netns): Ran =>
  run([...(node ? ['nsenter', `--net=${node.path}`] : []), executable, ...words], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    timeoutMs: 200_000,
  })

/** As `tool`; its answer as JSON. */
export function toolJson<T>(words: readonly string[], node?: Netns): T {
  const ran = tool([...words, '--json'], node)
  if (ran.code !== 0) throw new Error(`tulle ${words.join(' ')}: ${ran.stdout}${ran.stderr}`)
  return JSON.parse(ran.stdout) as T
}

export function withFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'tt-cli-'))
  try {
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
