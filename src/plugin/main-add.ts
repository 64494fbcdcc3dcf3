import { add } from './add.ts'
import { answerCall } from './call.ts'
import type { Called } from './context.ts'
import { del } from './del.ts'

/** ADD as an asset of its own: it holds what this verb needs, and starts the faster for it. */
export const main = (called: Called): 0 | 1 => answerCall(called, add, del)
