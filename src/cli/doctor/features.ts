import { FilterSocket } from '../../kernel/filter-socket.ts'
import type { Native } from '../../kernel/native.ts'
import { KernelRefusal } from '../../kernel/refusal.ts'
import type { RouteSocket } from '../../kernel/route-socket.ts'
import { probeLink, probeVeth } from '../../wire/rtnl/link.ts'
import type { Feature } from './facts.ts'

/** EPERM: errno-base.h. */
const notPermitted = 1

/**
 * What of the kernel Tulle needs. Kinds of links are asked for in a way that is always refused:
 * as malformed where the kind is known (or its module can be loaded), as unknown where it is not.
 */
export function featuresOf(
  native: Native,
  host: RouteSocket,
  isAdmin: boolean,
): readonly Feature[] {
  const stateOf = (isThere: () => boolean): Feature['state'] => {
    if (!isAdmin) return 'unknown'
    return isThere() ? 'there' : 'missing'
  }
  return [
    { name: 'veth', state: stateOf(() => host.canMake(probeVeth())) },
    { name: 'bridge', state: stateOf(() => host.canMake(probeLink('bridge'))) },
    { name: 'vxlan', state: stateOf(() => host.canMake(probeLink('vxlan'))) },
    { name: 'nf_tables', state: stateOfFilter(native) },
  ]
}

function stateOfFilter(native: Native): Feature['state'] {
  try {
    const filter = new FilterSocket(native)
    filter.generation()
    filter.close()
    return 'there'
  } catch (refusal) {
    return refusal instanceof KernelRefusal && refusal.errno === notPermitted
      ? 'unknown'
      : 'missing'
  }
}
