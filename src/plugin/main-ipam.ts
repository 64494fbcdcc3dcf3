import { answerCall, atOnce, type Started } from './call.ts'
import type { Call } from './context.ts'
import { addIpam, checkIpam, delIpam, gcIpam, statusIpam } from './ipam.ts'

/** host-local and static: every verb, one asset. */
export const main = (started: Started): 0 | 1 =>
  answerCall(
    started,
    atOnce(answer),
    atOnce((call) => void delIpam(call)),
  )

function answer(call: Call): string | undefined {
  const { verb } = call.environment
  if (verb === 'ADD') return addIpam(call)
  if (verb === 'DEL') delIpam(call)
  else if (verb === 'CHECK') checkIpam(call)
  else if (verb === 'GC') gcIpam(call)
  else statusIpam(call)
  return undefined
}
