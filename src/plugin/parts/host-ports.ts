import { type Address, formatAddress, sameAddress } from '../../base/address.ts'
import { code, fault } from '../../cni/fault.ts'
import { readPortMappings } from '../../cni/port-mappings.ts'
import { nameOf } from '../../datapath/attachment.ts'
import type { Extras } from '../../datapath/extras.ts'
import {
  type Forward,
  firstOfEach,
  formatForward,
  forwardsOf,
  type HostPorts,
  isListenedOn,
  type Listener,
  loopbackFamilies,
  udp,
} from '../../datapath/host-ports.ts'
import { ConntrackSocket } from '../../kernel/conntrack-socket.ts'
import { listenersOf } from '../../kernel/listeners.ts'
import { errno, KernelRefusal } from '../../kernel/refusal.ts'
import { Sysctls } from '../../kernel/sysctl.ts'
import type { LeaseStore } from '../../store/lease-store.ts'
import type { Flow } from '../../wire/conntrack/flow.ts'
import type { Call } from '../context.ts'
import { closeLoopback, localnetOf, openLoopback } from '../loopback-ports.ts'
import { portTaken } from '../port-taken.ts'
import type { Part, Target } from './part.ts'

/** Ports of the host that lead to the pod. */
export const hostPorts: Part<HostPorts> = {
  wish,
  apply(call, extras, { host }) {
    if (extras.hostPorts) openLoopback(call, extras.hostPorts, host)
    // A client that goes on sending is known as one of a pod that is gone, or of the host itself.
    forgetFlows(call, extras, ({ host: bound }, { original: { target } }) =>
      bound ? sameAddress(bound, target) : host.routeTo(target)?.isLocal === true,
    )
  },
  remove(call, extras, removing) {
    // What goes elsewhere by the same port number is none of ours.
    forgetFlows(
      call,
      extras,
      ({ pod, containerPort }, { reply }) =>
        sameAddress(reply.source, pod) && reply.sourcePort === containerPort,
    )
    closeLoopback(call, extras, removing)
  },
  check(call, { hostPorts: there }) {
    if (!there?.gate || !there.loopback.includes(4)) return []
    const path = localnetOf(there.gate)
    if (new Sysctls(call.native, -1).read(path) === '1') return []
    return [`${path.replaceAll('/', '.')} is not 1: 127.0.0.1 does not lead to the pod`]
  },
}

function wish(call: Call, target: Target, store: LeaseStore): HostPorts | null {
  const { config, id, note } = call
  const mappings = readPortMappings(config)
  if (mappings.length === 0 || target.ips.length === 0) return null
  const forwards = forwardsOf(target.ips, mappings)
  for (const { protocol, hostPort, hostIp } of mappings)
    if (!forwards.some((one) => one.hostPort === hostPort && one.hostIp === hostIp))
      note(`${protocol} port ${hostPort} of ${hostIp}: the pod has no address of that family`)
  if (config.backend === 'iptables') note('"backend": "iptables": host ports are in nftables')
  for (const forward of forwards) {
    const owner = store.extras.hostPorts.otherOwner(forward, id)
    if (owner) throw portTaken(formatForward(forward), nameOf(owner))
  }
  if (config.refuseBusyPorts) refuseBusy(forwards)
  const gate = gateTo(target)
  const { snat = true, masqAll = false } = config
  const masquerade = snat ? (masqAll ? 'all' : 'returning') : 'none'
  const loopback = gate !== null && masquerade !== 'none' ? loopbackFamilies(forwards) : []
  const isGateOurs = loopback.length > 0 && isOurs(call, store, { gate, target })
  return { mappings, gate, masquerade, loopback, isGateOurs }
}

/**
 * Behind another plugin the kernel's route tells: the pod may be plugged into something that is no
 * bridge of Linux.
 */
function gateTo({ ips, hostLink, bridge, origin, host }: Target): string | null {
  const known = bridge ?? hostLink
  const [address] = firstOfEach(ips)
  const route = origin === 'there' && address ? host.routeTo(address) : undefined
  if (route?.link === undefined || route.destination.bits === 0) return known
  return host.link({ index: route.link })?.name ?? known
}

type Gate = { readonly gate: string | null; readonly target: Target }

/** A setting that was there before us stays; but not what is there for other pods of ours alone. */
function isOurs(call: Call, store: LeaseStore, { gate, target }: Gate): boolean {
  if (gate === null || gate !== (target.bridge ?? target.hostLink)) return false
  if (new Sysctls(call.native, -1).read(localnetOf(gate)) !== '1') return true
  return store.extras.isGateOurs(gate, call.id)
}

function refuseBusy(forwards: readonly Forward[]): void {
  for (const protocol of ['tcp', 'udp'] as const) {
    const asked = forwards.filter((forward) => forward.protocol === protocol)
    if (asked.length === 0) continue
    const listeners = listenersOf(protocol)
    for (const forward of asked) {
      const busy = listeners.find((listener) => isListenedOn(forward, listener))
      if (busy) throw portBusy(forward, busy)
    }
  }
}

const portBusy = (forward: Forward, { address, port }: Listener): Error =>
  fault(
    code.hostConflict,
    'host port is in use',
    `a process of the host listens on ${forward.protocol} ${formatSocket(address, port)}, and ` +
      `${formatForward(forward)} is asked for; choose another hostPort, or stop that process ` +
      `("ss -lnp" names it)`,
  )

const formatSocket = (address: Address, port: number): string =>
  address.family === 4 ? `${formatAddress(address)}:${port}` : `[${formatAddress(address)}]:${port}`

type Choice = (forward: Forward, flow: Flow) => boolean

/** UDP has no end that the kernel could see: an entry lives on for as long as a client sends. */
function forgetFlows(call: Call, { ips, hostPorts: there }: Extras, isChosen: Choice): void {
  const forwards = forwardsOf(ips, there?.mappings ?? []).filter(
    ({ protocol }) => protocol === 'udp',
  )
  if (forwards.length === 0) return
  const connections = new ConntrackSocket(call.native)
  try {
    for (const forward of forwards)
      connections.forget(
        { family: forward.pod.family, protocol: udp, port: forward.hostPort },
        (flow) => isChosen(forward, flow),
      )
  } catch (refusal) {
    if (!(refusal instanceof KernelRefusal) || !withoutConntrack.includes(refusal.errno))
      throw refusal
    call.note(`${refusal.message}; UDP clients of an earlier pod may have to start anew`)
  } finally {
    connections.close()
  }
}

/** A kernel without ctnetlink says so by these. */
const withoutConntrack: readonly number[] = [errno.EOPNOTSUPP, errno.EINVAL]
