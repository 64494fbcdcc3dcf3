import { code, fault } from '../../cni/fault.ts'
import { gateOf } from '../../datapath/extras.ts'
import type { Isolation } from '../../datapath/isolation.ts'
import type { RouteSocket } from '../../kernel/route-socket.ts'
import { setBridgePort } from '../../wire/rtnl/link.ts'
import type { Part, Target } from './part.ts'

/**
 * Which other pods may reach this one. Packets that the host forwards are dropped by the fence of
 * datapath/fence.ts; frames between ports of one bridge never come there, so that an isolated pod's
 * port is isolated from such others by the bridge itself.
 */
export const isolation: Part<Isolation> = {
  wish: ({ config }, target) => {
    const policy = config.ingressPolicy
    if (policy !== 'same-bridge' && policy !== 'isolated') return null
    if (gateOf(target) === null) throw noGate(policy)
    return { policy, wasOpenPort: policy === 'isolated' && isOpenPort(target) }
  },
  apply: (_, { isolation, hostLink }, { host }) => {
    if (isolation?.wasOpenPort && hostLink !== null) setPort(host, hostLink, 'isolated')
  },
  remove: (_, { isolation, hostLink }, { host }) => {
    if (isolation?.wasOpenPort && hostLink !== null) setPort(host, hostLink, 'open')
  },
  check: (_, { isolation, hostLink }, { host }) => {
    if (!isolation?.wasOpenPort || hostLink === null) return []
    const port = host.link({ name: hostLink })?.port
    return port && !port.isolated ? [`port ${hostLink} of the bridge is not isolated`] : []
  },
}

const noGate = (policy: string): Error =>
  fault(
    code.invalidConfig,
    'no interface that can be isolated',
    `ingressPolicy is "${policy}", and the pod's interface is no veth whose other end is on this ` +
      'host; chain this plugin behind one that makes a veth (bridge, ptp, tulle), or drop the key',
  )

/** A port of our own bridge is made isolated, and goes with the pod. */
const isOpenPort = ({ origin, host, hostLink }: Target): boolean =>
  origin === 'there' && hostLink !== null && host.link({ name: hostLink })?.port?.isolated === false

function setPort(host: RouteSocket, name: string, to: 'isolated' | 'open'): void {
  const link = host.link({ name })
  if (!link?.port) return
  const query = setBridgePort(link.index, { ...link.port, isolated: to === 'isolated' })
  host.run([{ what: `make port ${name} ${to}`, query }])
}
