import { answerCall, atOnce, type Started } from './call.ts'
import type { Call } from './context.ts'
import { addFlannel, checkFlannel, delFlannel, gcFlannel, statusFlannel } from './flannel.ts'

/** flannel: every verb, with those of the plugins that it may hand them to. */
export const main = (started: Started): 0 | 1 =>
  answerCall(
    started,
    atOnce(answer),
    atOnce((call) => void delFlannel(call)),
  )

function answer(call: Call): string | undefined {
  const { verb } = call.environment
  if (verb === 'ADD') return addFlannel(call)
  if (verb === 'DEL') delFlannel(call)
  else if (verb === 'CHECK') checkFlannel(call)
  else if (verb === 'GC') gcFlannel(call)
  else statusFlannel(call)
  return undefined
}
