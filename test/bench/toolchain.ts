import { mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../support/netns.ts'

const here = fileURLToPath(new URL('.', import.meta.url))

const warnings = ['-Wall', '-Wextra', '-Werror'] as const

/** Compiles the C sources that make one program; the compiler's own words are thrown. */
function compile(sources: readonly string[], target: string): string {
  const paths = sources.map((source) => join(here, source))
  const done = run(['gcc', '-O2', '-pthread', ...warnings, '-o', target, ...paths])
  if (done.code !== 0) throw new Error(`Cannot compile ${sources.join(' ')}: ${done.stderr}`)
  return target
}

export const compileHarness = (directory: string): string =>
  compile(
    readdirSync(here).filter((name) => /^harness.*\.c$/.test(name)),
    join(directory, 'harness'),
  )

export const compileFloor = (directory: string): string =>
  compile(['floor.c', 'floor-pod.c'], join(directory, 'floor'))

export const compileFloorBurst = (directory: string): string =>
  compile(['floor-burst.c', 'floor-pod.c'], join(directory, 'floor-burst'))

export const compileRtt = (directory: string): string => compile(['rtt.c'], join(directory, 'rtt'))

export const compileChain = (directory: string): string =>
  compile(['chain.c'], join(directory, 'chain'))

/**
 * A PATH whose `iptables` is iptables-nft or -legacy, whatever the machine's alternatives say.
 */
export function pathWithIptables(kind: 'nft' | 'legacy', directory: string): string {
  const links = join(directory, `iptables-${kind}`)
  mkdirSync(links)
  for (const name of ['iptables', 'ip6tables'])
    symlinkSync(`/usr/sbin/${name}-${kind}`, join(links, name))
  return `${links}:/usr/sbin:/usr/bin:/sbin:/bin`
}
