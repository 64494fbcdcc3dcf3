import type { Native } from '../kernel/native.ts'
import { add } from './add.ts'
import { answerCall } from './call.ts'
import { del } from './del.ts'

/** ADD as an asset of its own: it holds what this verb needs, and starts the faster for it. */
export const main = (native: Native): 0 | 1 => answerCall(native, add, del)
