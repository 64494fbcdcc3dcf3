import { formatAddress } from '../base/address.ts'
import { formatPrefix } from '../base/prefix.ts'
import type { Query } from '../wire/netlink/message.ts'
import { newAddress } from '../wire/rtnl/address.ts'
import {
  type IfIndex,
  newBridge,
  newVeth,
  setAlias,
  setBridgePort,
  setLink,
} from '../wire/rtnl/link.ts'
import { deleteNeighbour, newNeighbour } from '../wire/rtnl/neighbour.ts'
import { newRoute, scopeLink } from '../wire/rtnl/route.ts'
import type { Attachment } from './attachment.ts'
import { bridgeMacOf } from './identity.ts'
import { bridgeAlias, formatAlias } from './mark.ts'
import { addressOf, macOf, type Side, type WiredRoute, wiringOf } from './wiring.ts'

/** One message to the kernel, and what it is for: the words of the error if it is refused. */
export type Step = {
  readonly what: string
  readonly query: Query
  /** Errno values that mean "it is so already". */
  readonly settled?: readonly number[]
}

const ENOENT = 2
const EEXIST = 17
const EAFNOSUPPORT = 97

/** Creates the pair; the pod's end is born in the namespace behind `netnsFd`, for this process. */
export const vethStep = (attachment: Attachment, netnsFd: number): Step => ({
  what: `create veth ${attachment.link} with ${attachment.ifname} in the pod's namespace`,
  query: newVeth({
    host: { name: attachment.link, mac: macOf(attachment.hostMac) },
    pod: { name: attachment.ifname, mac: macOf(attachment.podMac), netnsFd },
    mtuBytes: attachment.mtuBytes,
  }),
})

/** A link without IPv6 (an MTU under 1280 bytes, or a kernel without) makes none anyway. */
export const noLinkLocalStep = (name: string, index: IfIndex): Step => ({
  what: `keep ${name} free of a link-local address`,
  query: setLink({ index, noLinkLocal: true }),
  settled: [EAFNOSUPPORT],
})

/** Only once the link is known to be ours: the kernel goes on with a batch after a refusal. */
export const markStep = (attachment: Attachment): Step => ({
  what: `mark ${attachment.link} as Tulle's`,
  query: setAlias(attachment.link, formatAlias(attachment)),
})

export const bridgeStep = (name: string, mtuBytes: number): Step => ({
  what: `create bridge ${name}`,
  query: newBridge({ name, mac: macOf(bridgeMacOf(name)), mtuBytes }),
})

/**
 * What the host sent to these addresses before they were closed waits on the bridge for somebody to
 * answer (up to 3 s, and 200 kB an address), and would be the pod's first packets.
 */
export const forgetNeighbourSteps = ({ ips }: Attachment, bridge: IfIndex): readonly Step[] =>
  ips.map(({ address }) => ({
    what: `forget the neighbour ${address}`,
    query: deleteNeighbour({ link: bridge, address: addressOf(address) }),
    settled: [ENOENT, EAFNOSUPPORT],
  }))

export const markBridgeStep = (name: string): Step => ({
  what: `mark bridge ${name} as Tulle's`,
  query: setAlias(name, bridgeAlias),
})

/** What the pod announces (gratuitous ARP, unsolicited advertisement) when its MAC is set anew. */
export const announceStep = ({ ifname, podMac }: Attachment, link: IfIndex): Step => ({
  what: `announce the addresses of ${ifname}`,
  query: setLink({ index: link, mac: macOf(podMac) }),
})

/**
 * The host's end first: what the pod announces when it comes up (gratuitous ARP) then finds the way
 * open.
 */
export function hostSteps(
  attachment: Attachment,
  link: IfIndex,
  bridge: IfIndex | undefined,
): readonly Step[] {
  const name = attachment.link
  const { bridge: wish } = attachment
  const enslave = bridge === undefined ? {} : { master: bridge }
  const steps: Step[] = [
    noLinkLocalStep(name, link),
    { what: `set ${name} up`, query: setLink({ index: link, up: true, ...enslave }) },
  ]
  if (bridge !== undefined && wish)
    steps.push({
      what: `set port ${name} of ${wish.name} (hairpin ${wish.hairpin}, isolated ${wish.isolated})`,
      query: setBridgePort(link, wish),
    })
  return [...steps, ...sideSteps(wiringOf(attachment).host, { link, name, noPrefixRoute: true })]
}

export function podSteps(attachment: Attachment, link: IfIndex): readonly Step[] {
  const name = attachment.ifname
  const { pod } = wiringOf(attachment)
  const noPrefixRoute = attachment.mode === 'routed'
  const ipv4 = { ...pod, addresses: pod.addresses.filter(({ address }) => address.family === 4) }
  const ipv6 = pod.addresses.filter(({ address }) => address.family === 6)
  return [
    ...addressSteps(ipv4, { link, name, noPrefixRoute }),
    { what: `set ${name} up in the pod`, query: setLink({ index: link, up: true }) },
    ...addressSteps({ ...pod, addresses: ipv6 }, { link, name, noPrefixRoute }),
    ...restSteps(pod, { link, name, noPrefixRoute }),
  ]
}

export type Where = {
  readonly link: IfIndex
  readonly name: string
  readonly noPrefixRoute: boolean
}

/** Makes what a side of an attachment has; a part of a side will do. */
export const sideSteps = (side: Side, where: Where): readonly Step[] => [
  ...addressSteps(side, where),
  ...restSteps(side, where),
]

const addressSteps = ({ addresses }: Side, { link, name, noPrefixRoute }: Where): readonly Step[] =>
  addresses.map((prefix) => ({
    what: `add address ${formatPrefix(prefix)} to ${name}`,
    query: newAddress({ link, prefix, noPrefixRoute }),
  }))

/** Neighbours before routes: a route that is there can be used at once. */
function restSteps({ neighbours, routes }: Side, { link, name }: Where): readonly Step[] {
  return [
    ...neighbours.map(({ address, mac }) => ({
      what: `add neighbour ${formatAddress(address)} to ${name}`,
      query: newNeighbour({ link, address, mac }),
    })),
    ...routes.map((route) => ({
      what: `add route ${formatPrefix(route.destination)} ${wayOf(route)} dev ${name}`,
      query: newRoute({ ...route, link }),
    })),
  ]
}

const wayOf = ({ gateway, scope = scopeLink }: WiredRoute): string =>
  gateway ? `via ${formatAddress(gateway)}` : `scope ${scope}`

export const bridgeAddressStep = (
  name: string,
  link: IfIndex,
  prefix: Parameters<typeof formatPrefix>[0],
): Step => ({
  what: `add address ${formatPrefix(prefix)} to bridge ${name}`,
  query: newAddress({ link, prefix, noPrefixRoute: false }),
  settled: [EEXIST],
})
