import { formatAddress, sameAddress } from '../base/address.ts'
import { formatMac } from '../base/mac.ts'
import { formatPrefix, type Prefix, samePrefix } from '../base/prefix.ts'
import { deviceNames, tunnelMac } from '../overlay/device.ts'
import type { TunnelDevice } from '../overlay/fabric.ts'
import { deleteAddress, newAddress } from '../wire/rtnl/address.ts'
import { IFF_UP, type IfIndex, setAlias, setLink } from '../wire/rtnl/link.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'
import { newVxlan, setVxlan } from '../wire/rtnl/vxlan.ts'
import { macOf } from './fabric-entries.ts'
import { errno, KernelRefusal } from './refusal.ts'
import type { RouteSocket } from './route-socket.ts'
import type { Sysctls } from './sysctl.ts'

/** Alias of a tunnel device that Tulle made, and may change and take away. */
export const overlayAlias = 'tulle1 overlay'

/**
 * By its alias; by its MAC, which follows from its local address, if a process was killed between
 * making and marking it.
 */
export const isOurDevice = (link: Link): boolean =>
  link.kind === 'vxlan' && (link.alias === overlayAlias || isHalfMade(link))

function isHalfMade({ name, alias, mac, vxlan }: Link): boolean {
  const isNamedOurs = Object.values(deviceNames).includes(name)
  if (!isNamedOurs || alias !== undefined || !mac || !vxlan?.local) return false
  return formatMac(mac) === tunnelMac(vxlan.local)
}

/** rtnetlink and sysctls of one namespace. */
export type Place = { readonly route: RouteSocket; readonly sysctls: Sysctls }

/** Makes the device as wanted; what had to be done, in words, nothing if all was so already. */
export function ensureDevice(place: Place, wanted: TunnelDevice): readonly string[] {
  const changed: string[] = []
  const there = place.route.link({ name: wanted.name })
  const standing = there && usable(place, wanted, there, changed)
  const link = standing ?? make(place, wanted, changed)
  changed.push(...mend(place, wanted, link), ...settle(place, wanted, link))
  return changed
}

/** What differs from what is wanted, in words; for those who only look. */
export function faultsOf(wanted: TunnelDevice, link: Link, addresses: readonly Prefix[]): string[] {
  if (!isOurDevice(link)) return [`link ${wanted.name} is not Tulle's`]
  const faults = [...fixedFaults(wanted, link), ...mendable(wanted, link)]
  for (const prefix of wanted.addresses)
    if (!addresses.some((one) => samePrefix(one, prefix)))
      faults.push(`${wanted.name} lacks the address ${formatPrefix(prefix)}`)
  return faults
}

/** The link that is there, if it is ours and can be made as wanted; one that can't is removed. */
function usable(
  { route }: Place,
  wanted: TunnelDevice,
  link: Link,
  changed: string[],
): Link | undefined {
  const { name } = wanted
  if (!isOurDevice(link))
    throw new KernelRefusal({
      what:
        `use link ${name}: it is not Tulle's (kind ${link.kind ?? 'none'}, ` +
        `alias ${JSON.stringify(link.alias ?? '')}); rename or remove it`,
      errno: errno.EEXIST,
    })
  if (link.alias === undefined) {
    route.run([{ what: `mark ${name} as Tulle's`, query: setAlias(name, overlayAlias) }])
    changed.push(`marked ${name}`)
  }
  const faults = fixedFaults(wanted, link)
  if (faults.length === 0) return link
  route.deleteLink(name)
  changed.push(`removed ${name}: ${faults.join(', ')}`)
  return undefined
}

/** What the kernel does not change on a device that stands. */
function fixedFaults({ name, vni, port, local }: TunnelDevice, { vxlan }: Link): string[] {
  const faults: string[] = []
  if (!vxlan) return [`${name} is no VXLAN device`]
  if (vxlan.vni !== vni) faults.push(`the VNI of ${name} was ${vxlan.vni}, not ${vni}`)
  if (vxlan.port !== port) faults.push(`the port of ${name} was ${vxlan.port}, not ${port}`)
  if (!vxlan.checksums) faults.push(`${name} sent no checksums`)
  if (vxlan.parent !== undefined) faults.push(`${name} hung on another link`)
  if (vxlan.local?.family !== local.family) faults.push(`${name} was not over IPv${local.family}`)
  return faults
}

function make({ route }: Place, wanted: TunnelDevice, changed: string[]): Link {
  const { name, mac, mtuBytes, vni, port, local } = wanted
  const query = newVxlan({ name, mac: macOf(mac), mtuBytes, vni, port, local })
  if (!route.create({ what: `create VXLAN device ${name}`, query })) {
    const rival = route.links().find(({ vxlan }) => vxlan?.vni === vni && vxlan.port === port)
    const who = rival ? `link ${rival.name} has VNI ${vni} on UDP port ${port}` : 'it is there'
    throw new KernelRefusal({
      what: `create VXLAN device ${name}: ${who}; remove that, or choose another VNI or port`,
      errno: errno.EEXIST,
    })
  }
  route.run([{ what: `mark ${name} as Tulle's`, query: setAlias(name, overlayAlias) }])
  changed.push(`created ${name}`)
  const made = route.link({ name })
  if (!made) throw new KernelRefusal({ what: `find ${name} again`, errno: errno.ENODEV })
  return made
}

const isUp = ({ flags }: Link): boolean => (flags & IFF_UP) !== 0

/** What the kernel changes in place. */
function mendable(wanted: TunnelDevice, link: Link): string[] {
  const { name, mac, mtuBytes, local } = wanted
  const faults: string[] = []
  const ownMac = link.mac ? formatMac(link.mac) : 'none'
  const ownLocal = link.vxlan?.local
  if (ownMac !== mac) faults.push(`the MAC of ${name} was ${ownMac}, not ${mac}`)
  if (link.mtuBytes !== mtuBytes)
    faults.push(`the MTU of ${name} was ${link.mtuBytes}, not ${mtuBytes}`)
  if (!ownLocal || !sameAddress(ownLocal, local)) {
    const was = ownLocal ? formatAddress(ownLocal) : 'none'
    faults.push(`the local address of ${name} was ${was}, not ${formatAddress(local)}`)
  }
  if (link.vxlan?.learning) faults.push(`${name} learnt`)
  if (!isUp(link)) faults.push(`${name} was down`)
  return faults
}

function mend({ route, sysctls }: Place, wanted: TunnelDevice, link: Link): readonly string[] {
  const faults = mendable(wanted, link)
  const { name, mac, mtuBytes, vni, local } = wanted
  const { index, vxlan } = link
  const changed = sysctlsOf(wanted).flatMap(({ path, value }) =>
    sysctls.has(path) && sysctls.ensure(path, value) ? [`set ${path} to ${value}`] : [],
  )
  if (faults.length === 0) return changed
  const isTunnelAsWanted = vxlan?.local && sameAddress(vxlan.local, local) && !vxlan.learning
  const tunnel = isTunnelAsWanted
    ? []
    : [{ what: `set the tunnel of ${name}`, query: setVxlan(index, { vni, local }) }]
  route.run([
    ...tunnel,
    // a link-local address would multicast, and the tunnel leads to nobody in particular
    {
      what: `keep ${name} free of a link-local address`,
      query: setLink({ index, noLinkLocal: true }),
      settled: [errno.EAFNOSUPPORT],
    },
    {
      what: `set MAC and MTU of ${name}, and set it up`,
      query: setLink({ index, up: true, mtuBytes, mac: macOf(mac) }),
    },
  ])
  return [...faults, ...changed]
}

/**
 * Nobody in the tunnel may reconfigure this host. While nodes change from one way to another,
 * packets come by the one and leave by the other: rp_filter 2 lets them, whatever `all` says (the
 * greater of the two counts).
 */
const sysctlsOf = ({
  name,
  addresses,
}: TunnelDevice): readonly { path: string; value: string }[] => [
  { path: `net/ipv4/conf/${name}/rp_filter`, value: '2' },
  { path: `net/ipv6/conf/${name}/accept_ra`, value: '0' },
  ...(addresses.some(({ address }) => address.family === 6)
    ? [{ path: `net/ipv6/conf/${name}/disable_ipv6`, value: '0' }]
    : []),
]

/** Addresses: those that are wanted, and no others. */
function settle({ route }: Place, wanted: TunnelDevice, { index }: Link): readonly string[] {
  const { name } = wanted
  const there = route.addresses(index)
  const missing = wanted.addresses.filter((one) => !there.some((it) => samePrefix(it, one)))
  const surplus = there.filter((one) => !wanted.addresses.some((it) => samePrefix(it, one)))
  const on = (prefix: Prefix, link: IfIndex) => ({ link, prefix, noPrefixRoute: false })
  route.run([
    ...missing.map((prefix) => ({
      what: `add address ${formatPrefix(prefix)} to ${name}`,
      query: newAddress(on(prefix, index)),
      settled: [errno.EEXIST],
    })),
    ...surplus.map((prefix) => ({
      what: `remove address ${formatPrefix(prefix)} from ${name}`,
      query: deleteAddress(on(prefix, index)),
      settled: [errno.EADDRNOTAVAIL],
    })),
  ])
  return [
    ...missing.map((prefix) => `added address ${formatPrefix(prefix)} to ${name}`),
    ...surplus.map((prefix) => `removed address ${formatPrefix(prefix)} from ${name}`),
  ]
}
