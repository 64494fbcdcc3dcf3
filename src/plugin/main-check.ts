import { answerCall } from './call.ts'
import { check } from './check.ts'
import type { Called } from './context.ts'

/** CHECK as an asset of its own: it holds what this verb needs, and starts the faster for it. */
export const main = (called: Called): 0 | 1 => answerCall(called, (call) => void check(call))
