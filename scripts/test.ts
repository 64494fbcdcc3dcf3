import { existsSync, globSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { tracesOf } from './leftovers.ts'
import { check, failWhole, type Outcome, Run, type Stage, tap } from './stages.ts'
import { warmStages } from './warm-stages.ts'

// These touch nothing but their arguments, so their files may run beside each other. Every other
// folder makes namespaces or files, and much of it measures time: one file after the other.
const sideBySide = new Set(
  'base cluster wire cni ipam datapath overlay policy flow bgp laws sim'.split(' '),
)
/** Of the rest, those that have hosts of their own and measure nothing: most of it is waiting. */
const inTwos = /^test\/conformance\/(?!shaping|parallel|many-leases)/

const checks: readonly (readonly [name: string, ...command: string[]])[] = [
  ['tsc', 'tsc', '--noEmit'],
  ['biome', 'biome', 'check', '--error-on-warnings', '.'],
  ['rooms', 'node', 'scripts/rooms.mjs'],
  ['tidy', 'node', 'scripts/tidy.mjs'],
]

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: 'string', multiple: true }, json: { type: 'string' } },
  })
  const before = await tracesOf()
  const run = new Run()
  for (const stage of plan(values.only ?? [], before)) await run.run(stage)
  run.finish(values.json)
}

/** The stages in order; `only` names stages, or parts of test files' paths. */
function plan(only: readonly string[], before: ReadonlySet<string>): readonly Stage[] {
  const isNamed = (name: string): boolean => only.length === 0 || only.includes(name)
  const isCheck = (part: string): boolean => checks.some(([name]) => name === part)
  const parts = only.filter((part) => !['build', 'demo'].includes(part) && !isCheck(part))
  const folders = new Map<string, string[]>()
  for (const file of globSync('test/**/*.test.ts').sort()) {
    const folder = file.split('/')[1] ?? ''
    const stage = sideBySide.has(folder) ? 'unit' : folder
    const isAsked = isNamed(stage) || parts.some((part) => file.includes(part))
    if (isAsked) folders.set(stage, [...(folders.get(stage) ?? []), file])
  }
  const unit = folders.get('unit')
  folders.delete('unit')
  const usesExecutable = folders.size > 0 || isNamed('demo') || isNamed('suites-warm')
  // The pure rooms' tests need only what the build generates: any build will do.
  const needsBuild = usesExecutable || isNamed('build') || !existsSync('dist/tulle')
  const stages: Stage[] = []
  if (needsBuild) stages.push(check('build', 'node', 'scripts/build.mjs'))
  for (const [name, ...command] of checks) if (isNamed(name)) stages.push(check(name, ...command))
  if (unit !== undefined) stages.push(tap('unit', unit, ['--jobs=2']))
  for (const [name, files] of folders) stages.push(...folderStages(name, files))
  if (isNamed('suites-warm')) stages.push(...warmStages(only))
  if (isNamed('demo')) stages.push(check('demo', 'node', 'scripts/demo.ts', '--json'))
  if (isNamed('demo')) stages.push(check('demo policy', 'node', 'scripts/demo-policy.ts', '--json'))
  if (usesExecutable) stages.push({ name: 'leftovers', run: () => leftovers(before) })
  return stages
}

function folderStages(name: string, files: readonly string[]): readonly Stage[] {
  const two = files.filter((file) => inTwos.test(file))
  const one = files.filter((file) => !inTwos.test(file))
  return [
    ...(two.length > 0 ? [tap(name, two, ['--jobs=2'])] : []),
    ...(one.length > 0 ? [tap(name, one, ['--jobs=1'])] : []),
  ]
}

/** What this run left on the machine itself; what was there before it is somebody else's. */
async function leftovers(before: ReadonlySet<string>): Promise<Outcome> {
  const left = [...(await tracesOf())].filter((trace) => !before.has(trace))
  const failures = left.map((trace) => ({ name: `left behind: ${trace}`, details: '' }))
  return { passed: failures.length === 0 ? 1 : 0, failures, skips: [] }
}

main().catch(failWhole)
