import { answerCall, type Started } from './call.ts'
import { addChained, checkChained, delChained, gcChained, statusChained } from './chained.ts'
import type { Call } from './context.ts'
import { type Pausing, withoutPause } from './pausing.ts'

/** portmap, bandwidth, tuning and firewall: every verb, one asset. */
export const main = (started: Started): 0 | 1 => answerCall(started, workOf, delChained)

function workOf(call: Call): Pausing<string | undefined> {
  if (call.environment.verb === 'DEL') return delChained(call)
  return withoutPause(() => answer(call))
}

function answer(call: Call): string | undefined {
  const { verb } = call.environment
  if (verb === 'ADD') return addChained(call)
  if (verb === 'CHECK') checkChained(call)
  else if (verb === 'GC') gcChained(call)
  else statusChained(call)
  return undefined
}
