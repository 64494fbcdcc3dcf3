import { answerCall, atOnce, type Started } from './call.ts'
import { gc } from './gc.ts'

/** GC as an asset of its own: it holds what this verb needs, and starts the faster for it. */
export const main = (started: Started): 0 | 1 =>
  answerCall(
    started,
    atOnce((call) => void gc(call)),
  )
