import type { Mode } from './attachment.ts'
import type { Json } from './cni.ts'
import { type Pod, uplink } from './host.ts'
import type { Netns } from './netns.ts'
import { asked, type Listener, listen, type Protocol } from './sockets.ts'

export const hostPort = 8080
export const containerPort = 80

/** Ports as a runtime asks for them, each of both protocols. */
export const mapped = (...extra: readonly Json[]): Json => ({
  portMappings: [
    { hostPort, containerPort, protocol: 'tcp' },
    { hostPort, containerPort, protocol: 'udp' },
    ...extra,
  ],
})

/** Listens in a pod on all that there is: both protocols, both families. */
export async function serve(netns: Netns, name: string): Promise<() => void> {
  const places: readonly Readonly<{ protocol: Protocol; address: string }>[] = [
    { protocol: 'tcp', address: '0.0.0.0' },
    { protocol: 'tcp', address: '::' },
    { protocol: 'udp', address: '0.0.0.0' },
    { protocol: 'udp', address: '::' },
  ]
  const listeners: Listener[] = []
  for (const place of places)
    listeners.push(await listen(netns, { ...place, port: containerPort, name }))
  return () => {
    for (const listener of listeners) listener.close()
  }
}

/** Whose address the pod sees: the asking one's own, the node's, or the gateway's. */
export type Way = Readonly<{
  from: 'outside' | 'host' | 'other' | 'itself'
  to: string
  protocol: Protocol
}>

const { node } = uplink
const places: readonly Readonly<{ from: Way['from']; to: readonly string[] }>[] = [
  { from: 'outside', to: [node.v4, node.v6] },
  { from: 'host', to: [node.v4, node.v6, '127.0.0.1', '::1'] },
  { from: 'other', to: [node.v4, node.v6] },
  { from: 'itself', to: [node.v4, node.v6] },
]
export const ways: readonly Way[] = places.flatMap(({ from, to }) =>
  to.flatMap((one) => (['tcp', 'udp'] as const).map((protocol) => ({ from, to: one, protocol }))),
)

export type Pods = Readonly<{ pod: Pod; other: Pod; addresses: Readonly<Record<string, string>> }>

/** The answer's "ADDRESS NAME" with the address as whose it is; "nobody" without an answer. */
export function answerTo({ from, to, protocol }: Way, { pod, other, addresses }: Pods): string {
  const { host } = pod
  const askers = { outside: host.outside, host: host.netns, other: other.netns, itself: pod.netns }
  const answer = asked(askers[from], { protocol, address: to, port: hostPort })
  if (answer === undefined) return 'nobody'
  const [address = '', name = ''] = answer.split(' ')
  return `${addresses[address] ?? address} → ${name}`
}

/** Names of the addresses that a pod may see. */
export const namesOf = (
  own: readonly string[],
  others: readonly string[],
): Readonly<Record<string, string>> =>
  Object.fromEntries([
    ...[uplink.outside.v4, uplink.outside.v6].map((one) => [one, 'outside']),
    ...[node.v4, node.v6].map((one) => [one, 'node']),
    ...['10.77.0.1', 'fd00:77::1'].map((one) => [one, 'gateway']),
    ...own.map((one) => [one, 'itself']),
    ...others.map((one) => [one, 'other']),
  ])

export const defaultRoutes = [{ dst: '0.0.0.0/0' }, { dst: '::/0' }]

/** A bridge whose frames pass the IP hooks too, or not (br_netfilter). */
export function setBridgeNetfilter(netns: Netns, value: '0' | '1'): void {
  const paths = ['iptables', 'ip6tables'].map((name) => `net/bridge/bridge-nf-call-${name}`)
  for (const path of paths) {
    const written = netns.exec(['/bin/sh', '-c', `echo ${value} > /proc/sys/${path}`])
    if (written.code !== 0) throw new Error(`Cannot set ${path}: ${written.stderr}`)
  }
}

export const modesAndBridging: readonly Readonly<{
  mode: Mode
  bridgeNetfilter: '0' | '1'
}>[] = [
  { mode: 'routed', bridgeNetfilter: '1' },
  { mode: 'bridge', bridgeNetfilter: '0' },
  { mode: 'bridge', bridgeNetfilter: '1' },
]
