import { code, fault } from '../cni/fault.ts'
import { isAtLeast } from '../cni/version.ts'
import type { AttachmentId } from '../datapath/attachment.ts'
import { parseAlias } from '../datapath/mark.ts'
import { FilterSocket } from '../kernel/filter-socket.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { type Call, withExistingStore } from './context.ts'
import { delegate } from './delegate.ts'
import { dropKernelState, releaseAddresses } from './detach.ts'

/**
 * Collects what is left of this network's attachments that the runtime does not list: records,
 * addresses, links, elements. Goes on after a fault and reports at the end (specification, "GC").
 */
export function gc(call: Call): void {
  const isValid = validAttachments(call)
  const faults: unknown[] = []
  const attempt = (work: () => void): void => {
    try {
      work()
    } catch (refusal) {
      faults.push(refusal)
    }
  }
  const host = new RouteSocket(call.native, -1, 'the host')
  const filter = new FilterSocket(call.native)
  for (const { alias, name } of host.links()) {
    const marked = parseAlias(alias)
    if (marked && marked.network === call.id.network && !isValid(marked))
      attempt(() => void host.deleteLink(name))
  }
  attempt(() => collectRecords(call, { host, filter, isValid, attempt }))
  attempt(() => collectElements(call, { filter, isValid }))
  attempt(() => void delegate(call, 'GC'))
  if (faults.length === 1) throw faults[0]
  if (faults.length > 1)
    throw new AggregateError(faults, `Cannot collect everything of network ${call.id.network}`)
}

type IsValid = (id: AttachmentId) => boolean

/**
 * Absent is not empty: a caller that forgets the list would otherwise delete every living pod's
 * network.
 */
function validAttachments({ config, id }: Call): IsValid {
  if (!isAtLeast(config.cniVersion, '1.1.0'))
    throw fault(
      code.incompatibleVersion,
      'config version does not allow GC',
      `GC came with CNI 1.1.0, the configuration is ${config.cniVersion}`,
    )
  const keys = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const
  const key = keys.find((name) => config[name] !== undefined)
  if (key === undefined)
    throw fault(
      code.invalidConfig,
      'GC without a list of valid attachments',
      `the configuration has no ${keys[0]}; pass [] to collect everything of network ${id.network}`,
    )
  const valid = new Set(
    (config[key] ?? []).map(({ containerID, ifname }) => `${containerID}/${ifname}`),
  )
  return ({ container, ifname }) =>
    valid.has(`${container}/${ifname}`) ||
    (ifname === '' && [...valid].some((name) => name.startsWith(`${container}/`)))
}

type Collecting = {
  readonly host: RouteSocket
  readonly filter: FilterSocket
  readonly isValid: IsValid
  readonly attempt: (work: () => void) => void
}

function collectRecords(call: Call, { host, filter, isValid, attempt }: Collecting): void {
  withExistingStore(call, (store) => {
    for (const attachment of store.attachments(call.id.network))
      if (!isValid(attachment))
        attempt(() => {
          host.deleteLink(attachment.link)
          dropKernelState(attachment, store, { host, filter })
          releaseAddresses(call, store, attachment)
        })
    for (const id of store.holders(call.id.network))
      if (!isValid(id)) releaseAddresses(call, store, id)
  })
}

/**
 * Elements of attachments that no record tells of: a store was lost, or a process killed at a bad
 * moment.
 */
function collectElements(
  call: Call,
  { filter, isValid }: Pick<Collecting, 'filter' | 'isValid'>,
): void {
  const prefix = `${call.id.network}/`
  const orphans = filter.findElements((comment) => {
    if (!comment.startsWith(prefix)) return false
    const [container = '', ifname = ''] = comment.slice(prefix.length).split('/')
    return !isValid({ network: call.id.network, container, ifname })
  })
  filter.deleteElements(orphans)
  if (orphans.length > 0) filter.dropUnusedChains()
  const isIdle = withExistingStore(call, (store) => !store.hasAttachments()) ?? true
  if (isIdle) filter.dropEmptyTables()
}
