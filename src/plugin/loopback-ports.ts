import type { Extras } from '../datapath/extras.ts'
import type { HostPorts } from '../datapath/host-ports.ts'
import type { Step } from '../datapath/steps.ts'
import { errno } from '../kernel/refusal.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { Sysctls } from '../kernel/sysctl.ts'
import type { IfIndex } from '../wire/rtnl/link.ts'
import { deleteLocalRoute, newLocalRoute } from '../wire/rtnl/local-route.ts'
import type { Call } from './context.ts'
import { applySysctls } from './host.ts'
import type { Removing } from './parts/part.ts'

// Host ports of 127.0.0.1 and ::1: what the pod answers comes back through its link, addressed to
// the host's loopback address, once conntrack has put that in again. IPv4 takes it if the link has
// route_localnet; IPv6 looks for a loopback address on the very link that a packet came in by, so
// there has to be a route. Neither lets in what is sent to such an address from outside: that is
// dropped first thing (datapath/host-port-rules.ts), and by IPv6 itself (RFC 4291 section 2.5.3).

export const localnetOf = (gate: string): string => `net/ipv4/conf/${gate}/route_localnet`

export function openLoopback(
  { native, note }: Call,
  { gate, loopback }: HostPorts,
  host: RouteSocket,
): void {
  if (gate === null) return
  if (loopback.includes(4))
    applySysctls([{ side: 'host', path: localnetOf(gate), value: '1', need: 'must' }], {
      sysctls: new Sysctls(native, -1),
      note,
    })
  const link = loopback.includes(6) ? host.link({ name: gate }) : undefined
  if (link) host.run([toLoopback(link.index)])
}

const toLoopback = (link: IfIndex): Step => ({
  what: 'let answers to ::1 in',
  query: newLocalRoute(link),
  settled: [errno.EEXIST],
})

/** When no other pod needs it any more; a link that is gone has taken all of it with it. */
export function closeLoopback(
  call: Call,
  extras: Extras,
  { store, host }: Pick<Removing, 'store' | 'host'>,
): void {
  const { gate = null, isGateOurs = false, loopback = [] } = extras.hostPorts ?? {}
  if (gate === null || !isGateOurs) return
  if (gate !== extras.hostLink && store.extras.isGateOurs(gate, extras)) return
  const sysctls = new Sysctls(call.native, -1)
  if (sysctls.read(localnetOf(gate)) === '1') sysctls.ensure(localnetOf(gate), '0')
  const link = loopback.includes(6) ? host.link({ name: gate }) : undefined
  if (link) host.run([fromLoopback(link.index)])
}

const fromLoopback = (link: IfIndex): Step => ({
  what: 'remove the route for answers to ::1',
  query: deleteLocalRoute(link),
  settled: [errno.ESRCH, errno.ENODEV],
})
