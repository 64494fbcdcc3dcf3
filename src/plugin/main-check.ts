import type { Native } from '../kernel/native.ts'
import { answerCall } from './call.ts'
import { check } from './check.ts'

/** CHECK as an asset of its own: it holds what this verb needs, and starts the faster for it. */
export const main = (native: Native): 0 | 1 => answerCall(native, (call) => void check(call))
