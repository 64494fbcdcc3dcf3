import { versionOf } from '../cni/config.ts'
import { parseEnvironment } from '../cni/environment.ts'
import { formatFault } from '../cni/fault.ts'
import { newestVersion } from '../cni/version.ts'
import { type Call, type Called, readCall } from './context.ts'
import { explain } from './explain.ts'
import { print, readInput } from './streams.ts'

/** What a verb does; what it prints on success, if anything. */
export type Work = (call: Call) => string | undefined

/**
 * One CNI call, from the environment and standard input to standard output; the exit code. A
 * result that nobody can read is no success: `undo` takes it back.
 */
export function answerCall(called: Called, work: Work, undo?: (call: Call) => void): 0 | 1 {
  let input = ''
  try {
    const environment = parseEnvironment(process.env)
    input = readInput()
    const call = readCall(called, environment, input)
    if (print(work(call))) return 0
    undo?.(call)
    return 1
  } catch (refusal) {
    print(formatFault(versionOf(input) ?? newestVersion, explain(refusal)))
    return 1
  }
}
