import { formatPrefix, type Prefix } from '../base/prefix.ts'
import type { parseBareConfig } from '../cni/config.ts'
import type { Environment } from '../cni/environment.ts'
import { CniFault } from '../cni/fault.ts'
import { formatResult, passThrough } from '../cni/result.ts'
import type { Native } from '../kernel/native.ts'
import { IFF_UP, type IfIndex, setDown, setLink } from '../wire/rtnl/link.ts'
import { isOwnNetns, openPod, statNetns } from './context.ts'
import { checkFault, refuseOlder } from './refusals.ts'

export type LoopbackCall = {
  readonly native: Native
  /** As in context.ts. */
  readonly netnsFd?: number
  readonly environment: Environment
  readonly config: ReturnType<typeof parseBareConfig>
}

const loopback = { name: 'lo', index: 1 as IfIndex } // include/net/flow.h: LOOPBACK_IFINDEX

/** `lo` of the namespace, whatever CNI_IFNAME says; what the verb prints, if anything. */
export function answerLoopback(call: LoopbackCall): string | undefined {
  switch (call.environment.verb) {
    case 'ADD':
      return add(call)
    case 'DEL':
      del(call)
      return undefined
    case 'CHECK':
      refuseOlder(call, '0.4.0')
      check(call)
      return undefined
    default: // GC and STATUS: nothing is kept, and nothing can be lacking
      refuseOlder(call, '1.1.0')
      return undefined
  }
}

/** The kernel gives `lo` its addresses as it comes up. Others of lo's are not ours to tell of. */
function add(call: LoopbackCall): string {
  const { config, environment } = call
  const { pod } = openPod(call)
  pod.run([{ what: 'set lo up', query: setLink({ index: loopback.index, up: true }) }])
  if (config.prevResult !== undefined && config.prevResult !== null)
    return passThrough(config.cniVersion, config.prevResult)
  const there = pod.addresses(loopback.index).filter(isLoopback)
  const ips = ([4, 6] as const).flatMap((family) => {
    const prefix = there.find(({ address }) => address.family === family)
    return prefix ? [{ address: formatPrefix(prefix), interface: 0 }] : []
  })
  const mac = '00:00:00:00:00:00'
  const interfaces = [{ name: loopback.name, mac, sandbox: environment.netns }]
  return formatResult(config.cniVersion, { interfaces, ips, routes: [], dns: {} })
}

/** 127.0.0.0/8 (RFC 1122 section 3.2.1.3) and ::1 (RFC 4291 section 2.5.3). */
const isLoopback = ({ address: { family, value } }: Prefix): boolean =>
  family === 4 ? value >> 24n === 127n : value === 1n

/** A namespace that is gone has no `lo`; the host's own must never lose its. */
function del(call: LoopbackCall): void {
  const there = statIfAny(call)
  if (!there) return
  let pod: ReturnType<typeof openPod>['pod']
  try {
    pod = openPod(call).pod
  } catch (refusal) {
    const { mayShareNetns } = call.environment
    if (!(refusal instanceof CniFault) || (!mayShareNetns && isOwnNetns(there))) throw refusal
    return
  }
  pod.run([{ what: 'set lo down', query: setDown(loopback.name) }])
}

function statIfAny(call: LoopbackCall): ReturnType<typeof statNetns> {
  try {
    return statNetns(call)
  } catch {
    return undefined
  }
}

function check(call: LoopbackCall): void {
  const link = openPod(call).pod.link({ index: loopback.index })
  if (!link || (link.flags & IFF_UP) === 0) throw checkFault(["the pod's lo is down"])
}
