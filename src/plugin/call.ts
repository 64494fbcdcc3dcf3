import { versionOf } from '../cni/config.ts'
import { type Environment, parseEnvironment } from '../cni/environment.ts'
import { formatFault } from '../cni/fault.ts'
import { newestVersion } from '../cni/version.ts'
import { type Call, type Called, readCall } from './context.ts'
import { explain } from './explain.ts'
import { type Pausing, runToEnd, withoutPause } from './pausing.ts'
import { print, printNote, readInput } from './streams.ts'

/** What a verb does; what it prints on success, if anything. */
export type Work = (call: Call) => Pausing<string | undefined>

/** What a process of one call is told; the rest it knows itself. */
export type Started = Pick<Called, 'native' | 'plugin'>

/** A verb that never waits. */
export const atOnce =
  (work: (call: Call) => string | undefined): Work =>
  (call) =>
    withoutPause(() => work(call))

/**
 * One CNI call, from the environment and standard input to standard output; the exit code. A
 * result that nobody can read is no success: `undo` takes it back.
 */
export function answerCall(started: Started, work: Work, undo?: Work): 0 | 1 {
  let input = ''
  try {
    const environment = parseEnvironment(process.env)
    input = readInput()
    const call = readCall(calledOf(started, environment), environment, input)
    if (print(runToEnd(work(call)))) return 0
    if (undo) runToEnd(undo(call))
    return 1
  } catch (refusal) {
    print(refusalText(input, refusal))
    return 1
  }
}

/** The error object, in the version that the configuration asks for. */
export const refusalText = (input: string, refusal: unknown): string =>
  formatFault(versionOf(input) ?? newestVersion, explain(refusal))

/** An agent has begun with it and died: what it left of this attempt is undone first. */
function calledOf(started: Started, { verb }: Environment): Called {
  const attempt = verb === 'ADD' ? process.env.TULLE_ATTEMPT : undefined
  return { ...started, note: printNote, ...(attempt ? { attempt, isRepeated: true } : {}) }
}
