import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  openSync,
  realpathSync,
  writeSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path/posix'
import { type Command, type Desk, jsonOption, requiredText, textOf, UsageFault } from './command.ts'
import { told } from './conformance/answers.ts'
import { Bench } from './conformance/bench.ts'
import type { Case } from './conformance/case.ts'
import { allCases, examineAll } from './conformance/examine.ts'
import { formatJunit } from './conformance/junit.ts'
import { canSeeRules } from './conformance/picture.ts'
import { countOf, formatOutcomes, toJson } from './conformance/report.ts'
import { subjectOf, versionsOf } from './conformance/subject.ts'

export const conformance: Command = {
  name: 'conformance',
  summary: 'Try a CNI plugin on every rule, under every version',
  about: [
    'Runs the plugin in network namespaces that end with this command, with its own /run',
    'and /var/lib/cni: nothing of the node is touched. A call that takes 30 s is killed.',
    'Exit code 0: every case passed; 1: some failed; 2: it could not be asked.',
    "BASIS says whose rule a case is: the specification's, the runtimes' (libcni asks for",
    'it), or good practice.',
  ],
  options: {
    plugin: { type: 'string', value: 'PATH', text: 'the executable' },
    conf: {
      type: 'string',
      value: 'FILE',
      text: 'its configuration, or a list; known plugins have one',
    },
    chained: {
      type: 'boolean',
      text: 'it stands behind another plugin; known ones need no saying',
    },
    'cni-path': {
      type: 'string',
      value: 'DIRS',
      text: "CNI_PATH of the calls (default: the plugin's folder, /opt/cni/bin, /usr/lib/cni)",
    },
    only: { type: 'string', value: 'NAMES', text: 'these cases alone, with commas' },
    junit: { type: 'string', value: 'FILE', text: 'write JUnit XML there too' },
    json: jsonOption,
  },
  run,
}

function run(desk: Desk): number {
  const plugin = pluginOf(desk)
  const cases = chosenCases(textOf(desk.values, 'only'))
  const cniPath = textOf(desk.values, 'cni-path') ?? defaultPath(plugin)
  const subject = subjectOf({
    plugin,
    cniPath,
    conf: textOf(desk.values, 'conf'),
    isChained: desk.values.chained === true,
  })
  const junit = textOf(desk.values, 'junit')
  // Opened before the node's folders are covered.
  const junitFd = junit === undefined ? undefined : openSync(junit, 'w', 0o644)
  const bench = new Bench(desk.loadNative(), subject)
  try {
    const answer = bench.ask('VERSION', { cniVersion: '1.1.0' })
    const versions = versionsOf(answer.stdout)
    if (versions.length === 0)
      throw new UsageFault(
        `tulle conformance: ${plugin} does not answer VERSION with one that is known here: ` +
          told(answer),
      )
    const outcomes = examineAll(bench, cases, versions)
    if (junitFd !== undefined) writeSync(junitFd, formatJunit(plugin, outcomes))
    if (desk.values.json === true)
      desk.print(`${JSON.stringify(toJson(plugin, outcomes), undefined, 2)}\n`)
    else desk.print(formatOutcomes(outcomes, versions, desk))
    if (!canSeeRules())
      process.stderr.write('tulle conformance: no nft here, so packet filter rules were not seen\n')
    return countOf(outcomes, 'fail') === 0 ? 0 : 1
  } finally {
    if (junitFd !== undefined) closeSync(junitFd)
    bench.node.leave()
  }
}

/** Its whole path, links kept: plugins may go by the name that they are called by. */
function pluginOf(desk: Desk): string {
  const plugin = resolve(requiredText(desk, 'plugin', 'PATH'))
  try {
    accessSync(plugin, constants.X_OK)
  } catch {
    throw new UsageFault(`tulle conformance: ${plugin} is no executable file`)
  }
  const real = realpathSync(plugin)
  if (['/run/', '/var/lib/cni/'].some((folder) => real.startsWith(folder)))
    throw new UsageFault(
      `tulle conformance: ${real} can't be seen once /run and /var/lib/cni are covered; copy it`,
    )
  return plugin
}

const defaultPath = (plugin: string): string =>
  [dirname(plugin), '/opt/cni/bin', '/usr/lib/cni'].filter((folder) => existsSync(folder)).join(':')

function chosenCases(only: string | undefined): readonly Case[] {
  if (only === undefined) return allCases
  const names = only.split(',')
  const unknown = names.filter((name) => !allCases.some((one) => one.name === name))
  if (unknown.length > 0)
    throw new UsageFault(
      `tulle conformance: --only ${unknown.join(',')} is no case; there is ` +
        allCases.map(({ name }) => name).join(', '),
    )
  return allCases.filter(({ name }) => names.includes(name))
}
