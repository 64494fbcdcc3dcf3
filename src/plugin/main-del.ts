import { answerCall, type Started } from './call.ts'
import { del } from './del.ts'

/** DEL as an asset of its own: it holds what this verb needs, and starts the faster for it. */
export const main = (started: Started): 0 | 1 => answerCall(started, del)
