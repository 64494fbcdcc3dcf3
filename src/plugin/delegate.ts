import { describe } from '../cni/config.ts'
import type { Verb } from '../cni/environment.ts'
import { type CniFault, code, fault } from '../cni/fault.ts'
import { type Result, readResult } from '../cni/result.ts'
import { findProgram, runProgram } from '../kernel/program.ts'
import { type Call, delegateOf } from './context.ts'

/**
 * Runs the configured external IPAM plugin (specification section 4, "Delegation"): same
 * environment but for CNI_COMMAND, the configuration byte for byte on standard input. Undefined if
 * IPAM is built in or there is none.
 */
export function delegate(call: Call, verb: Verb): Result | undefined {
  const type = delegateOf(call.config)
  if (type === undefined) return undefined
  const stdout = runDelegate(call, { key: 'ipam.type', type, verb, input: call.input })
  if (verb !== 'ADD') return undefined
  return readResult(parseOutput({ type, stdout }))
}

export type Delegation = {
  /** The key that names it. */
  readonly key: 'ipam.type' | 'delegate.type'
  readonly type: string
  readonly verb: Verb
  readonly input: string
}

/** Runs another plugin of CNI_PATH; what it printed. */
export function runDelegate(call: Call, { key, type, verb, input }: Delegation): string {
  const { path, container, ifname } = call.environment
  const program = findProgram(type, path)
  if (program === undefined) throw notFound(key, type, path)
  const { code: exit, stdout } = runProgram(program, input, {
    ...process.env,
    ...(container === '' ? {} : { CNI_CONTAINERID: container, CNI_IFNAME: ifname }),
    CNI_COMMAND: verb,
  })
  if (exit !== 0) throw delegateFault({ type, verb, exit, stdout })
  return stdout.trimEnd()
}

function notFound(key: Delegation['key'], type: string, path: readonly string[]): CniFault {
  if (path.length === 0)
    return fault(
      code.invalidEnvironment,
      'required env variables [CNI_PATH] missing',
      `${key} ${JSON.stringify(type)} is an external plugin; set CNI_PATH to its folder`,
    )
  return fault(
    code.delegate,
    `failed to find plugin ${JSON.stringify(type)} in path [${path.join(' ')}]`,
    `${key} names an executable that is in none of these folders; install it, or use ` +
      `${key === 'ipam.type' ? '"host-local"' : '"bridge"'}, which is built in`,
  )
}

type Outcome = {
  readonly type: string
  readonly verb: Verb
  readonly exit: number
  readonly stdout: string
}

/** The delegate's own error goes up as it is: it knows best. */
function delegateFault({ type, verb, exit, stdout }: Outcome): CniFault {
  const own = parseObject(stdout)
  if (own && typeof own.code === 'number' && typeof own.msg === 'string')
    return fault(
      own.code,
      own.msg,
      typeof own.details === 'string' ? own.details : `from plugin ${type}, ${verb}`,
    )
  return fault(
    code.delegate,
    `plugin ${type} failed`,
    `${verb} ended with exit code ${exit} and printed ${shown(stdout)}; ` +
      "its standard error is in the runtime's log",
  )
}

function parseOutput({ type, stdout }: Pick<Outcome, 'type' | 'stdout'>): unknown {
  const result = parseObject(stdout)
  if (result) return result
  throw fault(
    code.delegate,
    `IPAM plugin ${type} gave no result`,
    `ADD succeeded but printed ${shown(stdout)}; it must print a result object`,
  )
}

const shown = (text: string): string => (text === '' ? 'nothing' : describe(text))

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
