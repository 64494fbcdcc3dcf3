import { cpSync, existsSync, globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { runE2e, type SuiteName, suites } from '../test/cluster/e2e.ts'
import { bringUp, findTools } from '../test/cluster/machine/bring-up.ts'
import { Cluster } from '../test/cluster/machine/cluster.ts'
import { besideApiServer } from '../test/cluster/machine/control-plane.ts'
import type { ProxyMode } from '../test/cluster/machine/node-configuration.ts'
import { places } from '../test/cluster/machine/places.ts'
import { Progress } from '../test/cluster/machine/progress.ts'
import { remains } from '../test/cluster/machine/remains.ts'
import { tracesOf } from './leftovers.ts'
import { check, failWhole, type Outcome, Run, type Stage, tap } from './stages.ts'

/** Of Kubernetes' own tests; the last takes as long as the others and is run by name alone. */
const suiteNames = ['network-policy', 'conformance', 'dual-stack'] as const
const suitesByName: readonly string[] = ['e2e dual-stack']
/** What a suite may take, on two cores; three tests at a time. */
const suiteMinutesMax = 20
const suiteProcesses = 3

/** What kube-proxy decides is tested in its other mode too, on a cluster of its own. */
const alsoWithIptables = ['services']

const cluster = new Cluster()
const passed: Outcome = { passed: 1, failures: [], skips: [] }

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      keep: { type: 'boolean', default: false },
      logs: { type: 'string' },
      json: { type: 'string' },
    },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => giveUp(signal))
  const before = await tracesOf()
  const run = new Run()
  const only = values.only ?? ['live', 'e2e']
  const asked = (kind: 'live' | 'e2e', name: string): boolean =>
    only.includes(name) || (only.includes(kind) && !suitesByName.includes(name))
  const files = globSync('test/cluster/live/*.live.ts').sort()
  const live = files.filter((file) => asked('live', nameOf(file)))
  const upstream = suiteNames.filter((name) => asked('e2e', `e2e ${name}`)).map(e2e)
  if (live.length + upstream.length === 0) throw new Error(`No test is named ${only.join(', ')}`)
  if (cluster.exists) await run.run(takeDown('an earlier cluster'))
  await run.run(whole('tools', () => findTools((line) => console.log(`  ${line}`))))
  await run.run(check('build', 'node', 'scripts/build.mjs'))
  await withCluster('nftables', [...live.map((file) => liveTest(file, nameOf(file))), ...upstream])
  const again = live
    .filter((file) => alsoWithIptables.includes(nameOf(file)))
    .map((file) => liveTest(file, `${nameOf(file)}, iptables`))
  if (again.length > 0 && !values.keep) await withCluster('iptables', again)
  if (!values.keep) await run.run({ name: 'leftovers', run: () => leftovers(before) })
  run.finish(values.json)

  /** Stages of one cluster's life; tests are not tried on one that did not come up. */
  async function withCluster(mode: ProxyMode, tests: readonly Stage[]): Promise<void> {
    const up = await run.run(start(mode))
    for (const stage of up.failures.length === 0 ? tests : []) await run.run(stage)
    if (values.logs !== undefined) keepLogs(values.logs, mode)
    if (!values.keep) await run.run(takeDown(`down, ${mode}`))
  }
}

let isGivenUp = false

/** Who stops the run does not want its cluster either. */
async function giveUp(signal: NodeJS.Signals): Promise<void> {
  if (isGivenUp) return // a signal is often sent twice: to a process and to its group
  isGivenUp = true
  // What was being started meanwhile may have come after it was looked for.
  for (let left = 3; left > 0 && (await remains()).length > 0; left -= 1) {
    await cluster.down().catch((refusal: unknown) => console.error(refusal))
  }
  failWhole(new Error(`Stopped by ${signal}`))
  process.exit()
}

const nameOf = (file: string): string => basename(file, '.live.ts')

const liveTest = (file: string, name: string): Stage => tap(name, [file], ['--timeout=900'])

/** A suite of Kubernetes' own tests, each of them counted and named. */
function e2e(name: SuiteName): Stage {
  const run = async (): Promise<Outcome> => {
    const result = await runE2e({
      tools: await findTools(),
      kubeconfig: places.admin,
      suite: suites[name],
      processes: suiteProcesses,
      minutesMax: suiteMinutesMax,
      nodes: cluster.nodes.length,
      reports: join(places.logs, `e2e-${name}`),
      before: besideApiServer([]),
    })
    for (const one of result.passed) console.log(`  ✓ ${one.name} (${one.seconds} s)`)
    return {
      passed: result.passed.length,
      failures: result.failed.map((one) => ({ name: one.name, details: `${one.message}\n` })),
      skips: result.skipped,
    }
  }
  return { name: `e2e ${name}`, run }
}

const start = (proxyMode: ProxyMode): Stage =>
  whole(`up, ${proxyMode}`, () =>
    bringUp(cluster, { kind: 'up', proxyMode, network: 'tulle', images: [] }, new Progress()),
  )

const takeDown = (name: string): Stage => whole(name, () => cluster.down())

/** A stage that is well unless it throws. */
function whole(name: string, work: () => Promise<unknown>): Stage {
  const run = async (): Promise<Outcome> => {
    try {
      await work()
      return passed
    } catch (refusal) {
      const details = refusal instanceof Error ? (refusal.stack ?? '') : String(refusal)
      return { passed: 0, failures: [{ name, details }], skips: [] }
    }
  }
  return { name, run }
}

/** What clusters and tests left on the machine; what was there before is somebody else's. */
async function leftovers(before: ReadonlySet<string>): Promise<Outcome> {
  const traces = [...(await tracesOf())].filter((trace) => !before.has(trace))
  const left = [...traces, ...(await remains())]
  const failures = left.map((trace) => ({ name: `left behind: ${trace}`, details: '' }))
  return { passed: failures.length === 0 ? 1 : 0, failures, skips: [] }
}

function keepLogs(folder: string, mode: ProxyMode): void {
  if (!existsSync(places.logs)) return
  cpSync(places.logs, `${folder}/${mode}`, { recursive: true })
  console.log(styleText('dim', `  logs of all parts are in ${folder}/${mode}`))
}

main().catch(failWhole)
