import { answerCall } from './call.ts'
import type { Call, Called } from './context.ts'
import { addIpam, checkIpam, delIpam, gcIpam, statusIpam } from './ipam.ts'

/** host-local and static: every verb, one asset. */
export const main = (called: Called): 0 | 1 => answerCall(called, answer, delIpam)

function answer(call: Call): string | undefined {
  const { verb } = call.environment
  if (verb === 'ADD') return addIpam(call)
  if (verb === 'DEL') delIpam(call)
  else if (verb === 'CHECK') checkIpam(call)
  else if (verb === 'GC') gcIpam(call)
  else statusIpam(call)
  return undefined
}
