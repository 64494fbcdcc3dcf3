import type { Native } from '../kernel/native.ts'
import { add } from './add.ts'
import { answerCall } from './call.ts'

/** ADD as the executable's asset of its own: an asset holds what its verb needs, and starts faster. */
export const main = (native: Native): 0 | 1 => answerCall(native, add)
