import { execFileSync } from 'node:child_process'
import { netconf } from './attachment.ts'
import type { Json } from './cni.ts'
import { Host } from './host.ts'
import { makeNetns } from './netns.ts'
import { batch, type Segment, type Underlay } from './underlay.ts'

/** A node of a list, on a throw-away host of its own. */
export type Member = {
  readonly name: string
  readonly addresses: readonly string[]
  readonly podCIDRs: readonly string[]
  readonly segment?: Segment
}

export type ClusterHost = { readonly host: Host; readonly member: Member }

/** A host with these addresses on `eth0`, and a default route past the router. */
export function addHost(underlay: Underlay, member: Member): ClusterHost {
  const { addresses, segment = 'near' } = member
  const host = new Host(makeNetns(`node-${member.name}`), makeNetns('nobody'))
  const { netns } = host
  // before there are links: nobody waits for duplicate addresses to be detected
  const dad = 'net.ipv6.conf.default.accept_dad=0'
  execFileSync('ip', ['netns', 'exec', netns.name, 'sysctl', '-qw', dad])
  underlay.plug(netns, 'eth0', segment)
  const at = segment === 'near' ? 0 : 1
  const isIpv6 = (text: string): boolean => text.includes(':')
  batch(netns, [
    ...addresses.map((text) => `addr add ${text}/${isIpv6(text) ? 64 : 24} dev eth0`),
    ...(addresses.some((text) => !isIpv6(text)) ? [`route add default via 10.${at}.0.254`] : []),
    ...(addresses.some(isIpv6) ? [`route add default via fd00:${at}::254 dev eth0`] : []),
  ])
  return { host, member }
}

/** The network as each of these hosts is told of it; ranges follow from the list. */
export function overlayConf(
  { host }: ClusterHost,
  members: readonly Member[],
  more: { readonly overlay?: Json; readonly keys?: Json; readonly mode?: 'routed' | 'bridge' } = {},
): Json {
  const nodes = members.map(({ name, addresses, podCIDRs }) => ({ name, addresses, podCIDRs }))
  return netconf(host, {
    mode: more.mode ?? 'routed',
    ipam: { ranges: undefined },
    keys: { ipMasq: true, overlay: { type: 'vxlan', nodes, ...more.overlay }, ...more.keys },
  })
}
