#!/usr/bin/env node
// Runs Kubernetes' own tests (e2e.test of the release, test/cluster/tools/kubernetes/e2e) against
// a cluster, and tells each test that passed, each that failed and each that was left out and why.
//
//   node test/cluster/e2e.ts --kubeconfig FILE [--suite network-policy|conformance|dual-stack]…
//     [--focus REGEXP] [--processes 3] [--minutes 20] [--nodes 3] [--reports FOLDER]
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { run, runLater } from '../support/netns.ts'
import { ensureTools, type Tools } from './build.ts'
import { type E2eResult, type Omission, resultOf, type Suite } from './e2e-report.ts'

const sctp: Omission = {
  pattern: /\[Feature:SCTPConnectivity\]/,
  reason: 'this kernel has no SCTP sockets',
}

export const suites = {
  /** All of Kubernetes' NetworkPolicy tests, and endPort and status of the API. */
  'network-policy': { focus: /\[Feature:NetworkPolicy\]|\] Netpol API /, without: [sctp] },
  /** What a conformant cluster must do that pod networking has a part in. */
  conformance: { focus: /\[sig-network\].*\[Conformance\]/, without: [] },
  'dual-stack': { focus: /\[Feature:IPv6DualStack\]/, without: [sctp] },
} as const satisfies Readonly<Record<string, Suite>>

export type SuiteName = keyof typeof suites

export type E2eWish = Readonly<{
  tools: Tools
  /** A cluster's administrator. */
  kubeconfig: string
  suite: Suite
  /** Tests at a time: each waits more than it works. */
  processes: number
  /** Folder for ginkgo's report. */
  reports: string
  minutesMax: number
  /** How many there are. */
  nodes: number
  /** Words before the program: what puts it where the API server is reached. */
  before?: readonly string[]
}>

/**
 * Runs a suite. Throws when there is no report at all; a failure before the first test (nodes not
 * ready) is one of `failed`.
 */
export async function runE2e(wish: E2eWish): Promise<E2eResult> {
  const { tools, reports, minutesMax, before = [] } = wish
  const suite = withoutSctpWhereThereIsNone(wish.suite)
  mkdirSync(reports, { recursive: true })
  const done = await runLater([...before, ...e2eArguments({ ...wish, suite })], {
    env: { ...(process.env as Record<string, string>), PATH: `${tools.bin}:${process.env.PATH}` },
    timeoutMs: (minutesMax + 1) * 60_000,
  })
  try {
    return resultOf(JSON.parse(readFileSync(join(reports, reportFile), 'utf8')), suite)
  } catch (cause) {
    const end = `${done.stdout}${done.stderr}`.trim().split('\n').slice(-20).join('\n')
    throw new Error(`The upstream tests ended with ${done.code} and no report: ${end}`, { cause })
  }
}

const reportFile = 'e2e.json'

/** ginkgo's own flags, then those of the tests: nothing is pulled, there is no cloud. */
export function e2eArguments(wish: E2eWish): readonly string[] {
  const { tools, kubeconfig, suite, processes, reports, minutesMax, nodes } = wish
  return [
    join(tools.bin, 'ginkgo'),
    'run',
    `--procs=${processes}`,
    `--timeout=${minutesMax}m`,
    `--focus=${suite.focus.source}`,
    ...suite.without.map(({ pattern }) => `--skip=${pattern.source}`),
    '--no-color',
    `--output-dir=${reports}`,
    `--json-report=${reportFile}`,
    join(tools.bin, 'e2e.test'),
    '--',
    `--kubeconfig=${kubeconfig}`,
    `--kubectl-path=${join(tools.bin, 'kubectl')}`,
    '--provider=skeleton',
    // without a cloud nobody counts them, and tests of Services of two families want two
    `--num-nodes=${nodes}`,
    '--node-os-distro=debian',
    // no logs are fetched from nodes by ssh
    '--disable-log-dump',
    '--system-pods-startup-timeout=2m',
    '--system-daemonsets-startup-timeout=2m',
    '--node-schedulable-timeout=2m',
  ]
}

/** Only a kernel that has the sockets can be tested for them. */
function withoutSctpWhereThereIsNone(suite: Suite): Suite {
  const open = 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)'
  if (run(['python3', '-c', open]).code !== 0) return suite
  return { ...suite, without: suite.without.filter((omission) => omission !== sctp) }
}

type Options = Readonly<{
  kubeconfig: string
  suite: readonly string[]
  focus?: string | undefined
  processes: string
  minutes: string
  nodes: string
  reports?: string | undefined
}>

async function main(options: Options): Promise<void> {
  const tools = await ensureTools((line) => process.stderr.write(`${line}\n`))
  const reports = options.reports ?? mkdtempSync(join(tmpdir(), 'tulle-e2e-'))
  const wishes: readonly (readonly [string, Suite])[] =
    options.focus === undefined
      ? options.suite.map((name) => [name, suiteNamed(name)])
      : [['focus', { focus: new RegExp(options.focus), without: [] }]]
  let failures = 0
  for (const [name, suite] of wishes) {
    const result = await runE2e({
      tools,
      suite,
      kubeconfig: options.kubeconfig,
      processes: Number(options.processes),
      minutesMax: Number(options.minutes),
      nodes: Number(options.nodes),
      reports: join(reports, name),
    })
    process.stdout.write(textOf(name, result))
    // a focus that no test has shows nothing
    failures += result.passed.length > 0 ? result.failed.length : 1
  }
  process.stdout.write(`reports: ${reports}\n`)
  process.exitCode = failures > 0 ? 1 : 0
}

function suiteNamed(name: string): Suite {
  if (Object.hasOwn(suites, name)) return suites[name as SuiteName]
  throw new Error(`No suite ${name}; there are ${Object.keys(suites).join(', ')}`)
}

function textOf(suite: string, { passed, failed, skipped }: E2eResult): string {
  const lines = [
    ...passed.map(({ name, seconds }) => `passed  ${name} (${seconds} s)`),
    ...skipped.map(({ name, reason }) => `skipped ${name}: ${reason}`),
    ...failed.map(({ name, message }) => `failed  ${name}: ${message}`),
    `${suite}: ${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped`,
  ]
  return `${lines.join('\n')}\n`
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      kubeconfig: { type: 'string', default: process.env.KUBECONFIG ?? '' },
      suite: { type: 'string', multiple: true, default: ['network-policy', 'conformance'] },
      focus: { type: 'string' },
      processes: { type: 'string', default: '3' },
      minutes: { type: 'string', default: '20' },
      nodes: { type: 'string', default: '3' },
      reports: { type: 'string' },
    },
  })
  await main(values)
}
