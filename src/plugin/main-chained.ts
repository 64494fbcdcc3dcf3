import { answerCall } from './call.ts'
import { addChained, checkChained, delChained, gcChained, statusChained } from './chained.ts'
import type { Call, Called } from './context.ts'

/** portmap, bandwidth, tuning and firewall: every verb, one asset. */
export const main = (called: Called): 0 | 1 => answerCall(called, answer, delChained)

function answer(call: Call): string | undefined {
  const { verb } = call.environment
  if (verb === 'ADD') return addChained(call)
  if (verb === 'DEL') delChained(call)
  else if (verb === 'CHECK') checkChained(call)
  else if (verb === 'GC') gcChained(call)
  else statusChained(call)
  return undefined
}
