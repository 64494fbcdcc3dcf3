import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { parse } from 'yaml'
import { type AgentConfig, explainConfigProblem, readConfig } from './config.ts'
import { type Key, keys, type RawKey } from './config-keys.ts'

export const defaultConfigPath = '/etc/tulle/agent.yaml'

/** Asked wrongly: the message is for the person who did. */
export class UsageRefusal extends Error {
  override name = 'UsageRefusal'
}

export type CommandLine =
  | { readonly kind: 'help' }
  | { readonly kind: 'run'; readonly config: AgentConfig }

/** Reads flags and the file that they name; throws UsageRefusal with everything that is wrong. */
export function readCommandLine(
  words: readonly string[],
  environment: NodeJS.ProcessEnv,
): CommandLine {
  const { config: path, help, ...flags } = parseFlags(words)
  if (help === true) return { kind: 'help' }
  const file = typeof path === 'string' ? path : undefined
  const surroundings = { nodeNameVariable: environment.NODE_NAME, hostname: hostname() }
  const named = Object.entries(keys).flatMap(([name, { flag }]) =>
    flags[flag] === undefined ? [] : [[name, flags[flag]] as const],
  )
  const read = readConfig(
    [
      { from: file ?? defaultConfigPath, values: readFile(file) },
      { from: 'the command line', values: Object.fromEntries(named) },
    ],
    surroundings,
  )
  if (read.kind === 'config') return { kind: 'run', config: read.config }
  throw new UsageRefusal(read.problems.map(explainConfigProblem).join('\n'))
}

function parseFlags(words: readonly string[]): Readonly<Record<string, string | boolean>> {
  const options = Object.values<Key<unknown>>(keys).map(
    ({ flag, placeholder }) =>
      [flag, { type: placeholder === undefined ? 'boolean' : 'string' }] as const,
  )
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        ...Object.fromEntries(options),
        config: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
      allowNegative: true,
      allowPositionals: false,
    })
    return values as Readonly<Record<string, string | boolean>>
  } catch (cause) {
    const said = cause instanceof Error ? cause.message.split('. ')[0] : String(cause)
    throw new UsageRefusal(`${said}; see "tulle agent --help"`, { cause })
  }
}

/** The file that is named has to be there; the usual one need not. */
function readFile(path: string | undefined): unknown {
  let text: string
  try {
    text = readFileSync(path ?? defaultConfigPath, 'utf8')
  } catch (cause) {
    if (path === undefined && (cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new UsageRefusal(`Cannot read the configuration: ${(cause as Error).message}`, { cause })
  }
  try {
    return parse(text) as unknown
  } catch (cause) {
    const said = (cause as Error).message.split('\n')[0] ?? ''
    throw new UsageRefusal(`${path ?? defaultConfigPath} is no YAML: ${said}`, { cause })
  }
}

export function agentHelp(): string {
  const rows = [
    ['--config FILE', `read FILE first (default: ${defaultConfigPath})`],
    ...Object.keys(keys).map((name) => rowOf(keys[name as RawKey])),
    ['--help', 'print this'],
  ] as const
  return `Keep this node's routes to other nodes' pods

Usage: tulle agent [options]

Every option is a key of the YAML file too: --cluster-cidrs is clusterCIDRs.

Options:
${rows.map(([left, right]) => `  ${left}\n      ${right}\n`).join('')}`
}

function rowOf({ flag, placeholder, text, fallback }: Key<unknown>): readonly [string, string] {
  if (placeholder === undefined)
    return fallback === true ? [`--no-${flag}`, `do not ${text}`] : [`--${flag}`, text]
  const suffix = fallback === undefined ? '' : ` (default: ${fallback})`
  return [`--${flag} ${placeholder}`, `${text}${suffix}`]
}
