import type { Native } from '../kernel/native.ts'
import { answerCall } from './call.ts'
import { status } from './status.ts'

/** STATUS as the executable's asset of its own: an asset holds what its verb needs, and starts faster. */
export const main = (native: Native): 0 | 1 => answerCall(native, (call) => void status(call))
