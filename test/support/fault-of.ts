import { CniFault, type Fault } from '../../src/cni/fault.ts'

/** The fault that `work` ends with; whatever else it does is an error of the test. */
export function faultOf(work: () => unknown): Fault {
  try {
    work()
  } catch (refusal) {
    if (refusal instanceof CniFault) return refusal.fault
    throw refusal
  }
  throw new Error('Cannot take the fault: nothing was refused')
}

/** As `faultOf`, where it is not known that there is one. */
export function faultOrResult<T>(work: () => T): { fault: Fault } | { result: T } {
  try {
    return { result: work() }
  } catch (refusal) {
    if (refusal instanceof CniFault) return { fault: refusal.fault }
    throw refusal
  }
}
