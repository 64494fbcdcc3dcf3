import { formatAddress } from '../../base/address.ts'
import { formatMac } from '../../base/mac.ts'
import { bridgeAlias } from '../../datapath/mark.ts'
import { deviceNames, tunnelMac } from '../../overlay/device.ts'
import { defaultOverlay } from '../../overlay/options.ts'
import { IFF_UP } from '../../wire/rtnl/link.ts'
import type { Link } from '../../wire/rtnl/observed-link.ts'
import { type Check, type Examined, error, listed, ok, warning } from './check.ts'
import type { Facts } from './facts.ts'

const ourNames: readonly string[] = Object.values(deviceNames)
const tunnelsOf = ({ links }: Facts): readonly Link[] =>
  links.filter(({ name, vxlan }) => vxlan !== undefined && ourNames.includes(name))

/** The link that carries a tunnel's packets: the one with its local address. */
function uplinkOf(tunnel: Link, { links, addresses }: Facts): Link | undefined {
  const local = tunnel.vxlan?.local
  if (!local) return undefined
  const text = formatAddress(local)
  return links.find(({ name }) =>
    (addresses.get(name) ?? []).some((prefix) => prefix.split('/')[0] === text),
  )
}

export const tunnelDevices: Check = (facts) => tunnelsOf(facts).map((link) => stateOf(link, facts))

function stateOf(tunnel: Link, facts: Facts): Examined {
  const { name, vxlan } = tunnel
  if ((tunnel.flags & IFF_UP) === 0)
    return error('tunnel-device', {
      found: `${name} is down`,
      meaning: "no packet to other nodes' pods goes through it",
      remedy: `"ip link set ${name} up"; the agent does that itself: is it running?`,
    })
  if (vxlan?.local && uplinkOf(tunnel, facts)) {
    const local = formatAddress(vxlan.local)
    return ok('tunnel-device', `${name} VNI ${vxlan.vni}, UDP ${vxlan.port}, from ${local}`)
  }
  const local = vxlan?.local
    ? `its local address ${formatAddress(vxlan.local)}`
    : 'no local address'
  return error('tunnel-device', {
    found: `${name} has ${local}${vxlan?.local ? ', which is on no link of this node' : ''}`,
    meaning: "the node's address has changed: the tunnel's packets are not sent, or not answered",
    remedy: "correct the Node's InternalIP, or delete the device: the agent makes it anew",
  })
}

/** What a packet grows by in the tunnel: RFC 7348, over IPv4 and IPv6. */
const overheadBytes = { 4: 50, 6: 70 } as const

export const mtus: Check = (facts) => {
  const found: Examined[] = []
  for (const tunnel of tunnelsOf(facts)) {
    const uplink = uplinkOf(tunnel, facts)
    const family = tunnel.vxlan?.local?.family ?? 4
    if (!uplink || uplink.name === 'lo') continue
    const most = uplink.mtuBytes - overheadBytes[family]
    const shown = `${tunnel.name} ${tunnel.mtuBytes}, ${uplink.name} ${uplink.mtuBytes}`
    if (tunnel.mtuBytes <= most) found.push(ok('mtu', shown))
    else
      found.push(
        error('mtu', {
          found: `${shown}: the tunnel needs ${overheadBytes[family]} bytes more`,
          meaning: 'large packets to other nodes are cut in two, or lost',
          remedy: `set the MTU of ${tunnel.name} to ${most} at most`,
        }),
      )
  }
  return [...found, ...podMtus(facts)]
}

function podMtus(facts: Facts): readonly Examined[] {
  const tunnels = tunnelsOf(facts)
  const { store } = facts
  if (tunnels.length === 0 || store === null || !('podLinks' in store)) return []
  const least = Math.min(...tunnels.map(({ mtuBytes }) => mtuBytes))
  const pods = facts.links.filter(({ name }) => store.podLinks.includes(name))
  const larger = pods.filter(({ mtuBytes }) => mtuBytes > least)
  if (pods.length === 0) return []
  if (larger.length === 0) return [ok('pod-mtu', `${pods.length} pods, none above ${least}`)]
  const names = larger.map(({ name, mtuBytes }) => `${name} ${mtuBytes}`)
  return [
    warning('pod-mtu', {
      found:
        `${larger.length} of ${pods.length} pods have a larger MTU than the tunnel's ${least}: ` +
        listed(names, 3),
      meaning: 'their large packets to other nodes come through only if ICMP does',
      remedy: `start them again: new pods get ${least}; set "mtu" in the network if they do not`,
    }),
  ]
}

export const tunnelMacs: Check = (facts) =>
  tunnelsOf(facts).flatMap(({ name, mac, vxlan }) => {
    if (!mac || !vxlan?.local) return []
    const wanted = tunnelMac(vxlan.local)
    const there = formatMac(mac)
    if (there === wanted) return [ok('tunnel-mac', `${name} has ${there}`)]
    return [
      error('tunnel-mac', {
        found: `${name} has the MAC ${there}; other nodes send to ${wanted}`,
        meaning: 'every packet from other nodes is dropped on arrival',
        remedy:
          'somebody rewrites MACs, mostly systemd-udevd: a .link file that matches ' +
          'OriginalName=tulle* with MACAddressPolicy=none; then delete the device',
      }),
    ]
  })

/** Who else wants the same tunnel: two devices of one VNI and port exclude each other. */
export const tunnelClash: Check = (facts) => {
  const own = tunnelsOf(facts)
  const wanted = own.map(({ vxlan }) => vxlan).find((one) => one !== undefined)
  const told = 'status' in facts.agent ? facts.agent.status.self?.devices[0] : undefined
  const { vni, port } = wanted ?? told ?? defaultOverlay
  const others = facts.links.filter(({ name, vxlan }) => vxlan && !ourNames.includes(name))
  const same = others.filter(({ vxlan }) => vxlan?.vni === vni && vxlan.port === port)
  if (same.length > 0)
    return [
      error('tunnel-clash', {
        found: `${listed(same.map(({ name }) => name))}: VNI ${vni} on UDP ${port}, as Tulle's`,
        meaning: 'the kernel gives packets of that tunnel to one device alone',
        remedy: 'delete the device of the other network, or choose another VNI for Tulle',
      }),
    ]
  const isVxlan = others.some(({ vxlan }) => vxlan?.port === port)
  const isTaken = facts.udpListeners.some((listener) => listener.port === port)
  if (isTaken && !isVxlan && own.length === 0)
    return [
      error('tunnel-clash', {
        found: `a process listens on UDP ${port}`,
        meaning: 'the tunnel device cannot be made, or gets no packets',
        remedy: `stop it ("ss -ulnp sport = :${port}" tells who), or choose another port`,
      }),
    ]
  return own.length > 0 ? [ok('tunnel-clash', `nobody else has VNI ${vni} on UDP ${port}`)] : []
}

/** Links that other networks leave when they are removed. */
const leavings: readonly { readonly pattern: RegExp; readonly whose: string }[] = [
  { pattern: /^flannel(\.|-v6\.)\d+$/, whose: 'Flannel' },
  { pattern: /^flannel-wg/, whose: 'Flannel' },
  { pattern: /^(vxlan(-v6)?\.calico|cali[0-9a-f]{11}|tunl0@?|wireguard\.cali)$/, whose: 'Calico' },
  { pattern: /^(cilium_\w+|lxc[0-9a-f]{12}|lxc_health)$/, whose: 'Cilium' },
  { pattern: /^(kube-bridge|kube-dummy-if)$/, whose: 'kube-router' },
  { pattern: /^(weave|vethwe-.*)$/, whose: 'Weave' },
  { pattern: /^(ovn0|genev_sys_\d+|antrea-gw0)$/, whose: 'OVN or Antrea' },
]

export const leftovers: Check = ({ links, lists }) => {
  const types = new Set(
    lists.flatMap((list) => ('plugins' in list ? list.plugins : [])).map(({ type }) => type),
  )
  const found = links.flatMap(({ name, alias, kind }) => {
    if (name === 'cni0')
      return kind === 'bridge' && alias !== bridgeAlias && !types.has('bridge')
        ? [{ name, whose: 'the bridge plugin' }]
        : []
    const known = leavings.find(({ pattern }) => pattern.test(name))
    return known ? [{ name, whose: known.whose }] : []
  })
  if (found.length === 0) return [ok('leftovers', 'no link of another network')]
  const whose = [...new Set(found.map((one) => one.whose))].join(', ')
  return [
    warning('leftovers', {
      found: `links of other networks: ${listed(found.map(({ name }) => name))} (${whose})`,
      meaning: 'their routes and rules may take packets of pods, also while nodes are moved over',
      remedy: 'once none of their pods runs here: remove their links, rules and files, or reboot',
    }),
  ]
}
