import { code, fault } from '../cni/fault.ts'
import type { AttachmentId } from '../datapath/attachment.ts'
import type { Call } from './context.ts'
import { refuseOlder } from './refusals.ts'

/**
 * Absent is not empty: a caller that forgets the list would otherwise delete every living pod's
 * network.
 */
export function validAttachments(call: Call): readonly AttachmentId[] {
  refuseOlder(call, '1.1.0')
  const { config, id } = call
  const keys = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const
  const key = keys.find((name) => config[name] !== undefined)
  if (key === undefined)
    throw fault(
      code.invalidConfig,
      'GC without a list of valid attachments',
      `the configuration has no ${keys[0]}; pass [] to collect everything of network ${id.network}`,
    )
  return (config[key] ?? []).map(({ containerID, ifname }) => ({
    network: id.network,
    container: containerID,
    ifname,
  }))
}
