import {
  type Command,
  InputFault,
  parseWords,
  type ToolCall,
  ToolFault,
  UsageFault,
} from './command.ts'
import { conformance } from './conformance.ts'
import { doctor } from './doctor.ts'
import { generalHelp, helpOf } from './help.ts'
import { install, uninstall } from './install.ts'
import { ipamExport } from './ipam-export.ts'
import { ipamGc } from './ipam-gc.ts'
import { ipamList } from './ipam-list.ts'
import { policyDiff } from './policy-diff.ts'
import { policyExplain } from './policy-explain.ts'
import { policyLint } from './policy-lint.ts'
import { policyMatrix } from './policy-matrix.ts'
import { policyVerify } from './policy-verify.ts'
import { policyWait } from './policy-wait.ts'
import { routes } from './routes.ts'
import { status } from './status.ts'
import { warm } from './warm.ts'

const commands: readonly Command[] = [
  install,
  uninstall,
  warm,
  status,
  routes,
  doctor,
  ipamList,
  ipamExport,
  ipamGc,
  policyMatrix,
  policyExplain,
  policyDiff,
  policyLint,
  policyVerify,
  policyWait,
  conformance,
]

/** The operator's tool: exit code 0 done, 1 not done, 2 asked wrongly. */
export async function main(call: ToolCall): Promise<number> {
  // A reader that leaves early (`| head`) is no error.
  process.stdout.on('error', () => process.exit(0))
  try {
    return await runWords(call)
  } catch (refusal) {
    return explain(refusal)
  }
}

async function runWords(call: ToolCall): Promise<number> {
  const { words } = call
  if (words[0] === '--help' || words[0] === '-h' || words[0] === 'help') {
    process.stdout.write(generalHelp(commands, call.version))
    return 0
  }
  const command = commands.find(({ name }) => name === commandName(words, name))
  if (!command) throw unknownCommand(words)
  const rest = words.slice(command.name.split(' ').length)
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(helpOf(command))
    return 0
  }
  return command.run({
    ...call,
    ...parseWords(command, rest),
    print: (text) => process.stdout.write(text),
    remark: (text) => process.stderr.write(text),
    isTerminal: process.stdout.isTTY === true && process.env.NO_COLOR === undefined,
  })
}

/** As many of the words as the command's name has. */
const commandName = (words: readonly string[], name: string): string =>
  words.slice(0, name.split(' ').length).join(' ')

function unknownCommand(words: readonly string[]): UsageFault {
  const asked = words[0] ?? ''
  const family = commands.filter(({ name }) => name.startsWith(`${asked} `))
  if (family.length > 0) {
    const names = family.map(({ name }) => `"tulle ${name}"`).join(' and ')
    return new UsageFault(`tulle ${words.slice(0, 2).join(' ')} is no command: there is ${names}`)
  }
  const names = commands.map(({ name }) => name).join(', ')
  return new UsageFault(`tulle ${asked} is no command: there is ${names}`)
}

function explain(refusal: unknown): number {
  if (refusal instanceof UsageFault) {
    process.stderr.write(`${refusal.message}; see "tulle --help"\n`)
    return 2
  }
  if (refusal instanceof InputFault) {
    process.stderr.write(`${refusal.message}\n`)
    return 2
  }
  if (refusal instanceof ToolFault || isRefusal(refusal)) {
    process.stderr.write(`tulle: ${refusal.message}\n`)
    return 1
  }
  throw refusal
}

/** The world said no, in words for a person: a system call's, the kernel's, the store's. */
const isRefusal = (refusal: unknown): refusal is Error =>
  refusal instanceof Error &&
  ('syscall' in refusal || ['KernelRefusal', 'StoreBusy', 'StoreBroken'].includes(refusal.name))
