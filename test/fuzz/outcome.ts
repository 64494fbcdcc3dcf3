import { versions } from '../support/cni.ts'
import type { Ran } from '../support/netns.ts'
import { errorFaults, resultFaults } from '../support/shape.ts'
import type { Input } from './input.ts'

type Version = (typeof versions)[number]

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const isVersion = (value: unknown): value is Version => versions.some((one) => one === value)

function addFaults(ran: Ran): readonly string[] {
  const result = parsed(ran.stdout) as { cniVersion?: unknown } | undefined
  if (!isVersion(result?.cniVersion)) return ['ADD: no result with a version that we know']
  return resultFaults(result, result.cniVersion)
}

/** True if the configuration has a prevResult, so that ADD may hand it on as it came. */
function isChained(stdin: Uint8Array): boolean {
  const conf = parsed(new TextDecoder().decode(stdin)) as Record<string, unknown> | undefined
  return Object.keys(conf ?? {}).some((key) => key.toLowerCase() === 'prevresult')
}

/** What is wrong with how a process ended; empty if it is a valid result or a valid error. */
export function outcomeFaults({ env, stdin }: Input, ran: Ran): readonly string[] {
  if (ran.code === 1) return errorFaults(ran)
  if (ran.code !== 0) return [`exit ${ran.code}`]
  switch (env.CNI_COMMAND ?? '') {
    case 'ADD':
      return isChained(stdin) ? (parsed(ran.stdout) ? [] : ['ADD: no JSON']) : addFaults(ran)
    case 'VERSION': {
      const reply = parsed(ran.stdout) as { supportedVersions?: unknown[] } | undefined
      return reply?.supportedVersions?.length === versions.length ? [] : ['VERSION: no versions']
    }
    case '':
      return /^CNI tulle plugin v/.test(ran.stderr) && ran.stdout === '' ? [] : ['no about line']
    default:
      return ran.stdout === '' ? [] : [`${env.CNI_COMMAND}: something on stdout`]
  }
}
