import { type Command, type Option, wordOf } from './command.ts'
import { formatColumns } from './table.ts'

export const generalHelp = (commands: readonly Command[], version: string): string =>
  `Tulle ${version}: a Kubernetes pod network in one executable.

Usage: tulle <command> [options]

Commands:
${formatColumns([
  ['  agent', "Keep this node's routes to other nodes' pods (the node agent)"],
  ...commands.map(({ name, summary }) => [`  ${name}`, summary]),
])}
"tulle <command> --help" tells a command's options; "tulle --version" the version.
As a CNI plugin it takes its verb from CNI_COMMAND and its configuration from standard input.
`

export const helpOf = ({ name, summary, about, options, operands = [] }: Command): string =>
  `${summary}

Usage: tulle ${[name, ...operands.map(wordOf)].join(' ')} [options]
${about.length > 0 ? `\n${about.join('\n')}\n` : ''}
Options:
${formatColumns([
  ...Object.entries(options).map(([key, option]) => [`  ${wordsOf(key, option)}`, textOf(option)]),
  ['  --help', 'print this'],
])}`

const wordsOf = (key: string, { value }: Option): string =>
  value === undefined ? `--${key}` : `--${key} ${value}`

const textOf = ({ text, default: value }: Option): string =>
  value === undefined ? text : `${text} (default: ${value})`
