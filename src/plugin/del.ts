import { code, fault } from '../cni/fault.ts'
import { type Call, isOwnNetns, statNetns } from './context.ts'
import { delegate } from './delegate.ts'
import { detach } from './detach.ts'
import type { Pausing } from './pausing.ts'

/**
 * Takes a pod's interface away. What is not there is not missed: no namespace, no record, no link,
 * any number of times.
 */
export function* del(call: Call): Pausing<undefined> {
  const { netns, mayShareNetns } = call.environment
  const target = statNetns(call)
  if (target && !mayShareNetns && isOwnNetns(target))
    throw fault(
      code.invalidNetns,
      "plugin's netns and netns from CNI_NETNS should not be the same",
      `${netns} is the host's own namespace; pods have one of their own`,
    )
  yield* detach(call)
  delegate(call, 'DEL')
  return undefined
}
