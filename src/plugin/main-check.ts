import { answerCall, atOnce, type Started } from './call.ts'
import { check } from './check.ts'

/** CHECK as an asset of its own: it holds what this verb needs, and starts the faster for it. */
export const main = (started: Started): 0 | 1 =>
  answerCall(
    started,
    atOnce((call) => void check(call)),
  )
