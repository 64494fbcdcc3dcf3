import { parseAddress } from '../base/address.ts'
import { formatMac, type Mac } from '../base/mac.ts'
import { samePrefix } from '../base/prefix.ts'
import { code, fault } from '../cni/fault.ts'
import type { AttachmentId, BridgeWish } from '../datapath/attachment.ts'
import { planBridgeAddresses } from '../datapath/bridge.ts'
import { bridgeMacOf, identityOf } from '../datapath/identity.ts'
import { bridgeAlias, parseAlias } from '../datapath/mark.ts'
import { bridgeAddressStep, bridgeStep, markBridgeStep } from '../datapath/steps.ts'
import { bridgeFolder, ipv6Forwarding, type Sysctl } from '../datapath/sysctls.ts'
import { prefixOf } from '../datapath/wiring.ts'
import { errno } from '../kernel/refusal.ts'
import type { RouteSocket } from '../kernel/route-socket.ts'
import { hasIpv6, listeners, type Sysctls } from '../kernel/sysctl.ts'
import { deleteAddress } from '../wire/rtnl/address.ts'
import { IFF_PROMISC, IFF_UP, setLink } from '../wire/rtnl/link.ts'
import type { Link } from '../wire/rtnl/observed-link.ts'

const defaultMtuBytes = 1500
/**
 * Addresses of documentation (RFC 5737, RFC 3849): a question to the routing table; no packet is
 * sent.
 */
const anywhere = ['192.0.2.1', '2001:db8::1']

/** MTU of the link that leads out of this node; 1500 if none does. */
export function uplinkMtuBytes(host: RouteSocket): number {
  for (const text of anywhere) {
    const address = parseAddress(text)
    const index = address && host.routeTo(address)?.link
    const link = index === undefined ? undefined : host.link({ index })
    if (link && link.mtuBytes > 0 && link.name !== 'lo') return link.mtuBytes
  }
  return defaultMtuBytes
}

export type Writing = { readonly sysctls: Sysctls; readonly note: (text: string) => void }

/**
 * Writes what must be so or fails; what only should be so and can't be is noted.
 */
export function applySysctls(wanted: readonly Sysctl[], { sysctls, note }: Writing): void {
  for (const { path, value, need } of wanted) {
    try {
      const there = sysctls.read(path)
      // No file: a link or a kernel without IPv6, or older than the key.
      const isIdle = there === undefined && need === 'should'
      if (there !== value && !isIdle) sysctls.write(path, value)
    } catch (refusal) {
      if (need === 'must') throw sysctlFault(path, value, refusal)
      note(`${refusal instanceof Error ? refusal.message : String(refusal)}; going on without`)
    }
  }
}

/**
 * As `applySysctls` for forwarding: what is switched on is said, and hosts that listen to routers
 * go on doing so.
 */
export function switchForwardingOn(wanted: readonly Sysctl[], { sysctls, note }: Writing): void {
  for (const { path, value } of wanted) {
    try {
      if (path === ipv6Forwarding && sysctls.read(path) !== value)
        for (const name of listeners(sysctls))
          sysctls.ensure(`net/ipv6/conf/${name}/accept_ra`, '2')
      if (sysctls.ensure(path, value)) note(`switched on ${path.replaceAll('/', '.')}`)
    } catch (refusal) {
      throw sysctlFault(path, value, refusal)
    }
  }
}

function sysctlFault(path: string, value: string, refusal: unknown): Error {
  const reason = refusal instanceof Error ? refusal.message : String(refusal)
  const set = `set ${path.replaceAll('/', '.')}=${value} on the node`
  return fault(
    code.io,
    'cannot set a sysctl that pods need',
    path.startsWith(bridgeFolder)
      ? `${reason}; load the module br_netfilter and ${set}, or use "mode": "routed": else ` +
          'policies would not hold between pods of one bridge'
      : `${reason}; ${set}, or make /proc/sys writable for the runtime`,
  )
}

/** The bridge, made or made fit; never another one's link. */
export function ensureBridge(host: RouteSocket, wish: BridgeWish, mtuBytes: number): Link {
  const { name } = wish
  if (!host.link({ name })) makeBridge(host, name, mtuBytes)
  const link = host.link({ name })
  if (link?.kind !== 'bridge')
    throw fault(
      code.hostConflict,
      `${name} is not a bridge`,
      `link ${name} exists and is ${link?.kind ?? 'gone again'}; ` +
        'choose another "bridge", or remove that link',
    )
  addBridgeAddresses(host, wish, link)
  const isUp = (link.flags & IFF_UP) !== 0
  const isPromisc = (link.flags & IFF_PROMISC) !== 0
  if (!isUp || (wish.promisc && !isPromisc))
    host.run([
      {
        what: `set bridge ${name} up`,
        query: setLink({ index: link.index, up: true, ...(wish.promisc ? { promisc: true } : {}) }),
      },
    ])
  return link
}

/** Another ADD may be faster; what somebody else made meanwhile is not marked as ours. */
function makeBridge(host: RouteSocket, name: string, mtuBytes: number): void {
  if (host.create(bridgeStep(name, mtuBytes))) host.run([markBridgeStep(name)])
}

function addBridgeAddresses(host: RouteSocket, wish: BridgeWish, { index, name }: Link): void {
  if (wish.addresses.length === 0) return
  const wanted = wish.addresses.map(prefixOf)
  const observed = host.addresses(index).filter((there) => !isLinkLocal6(there.address))
  if (wanted.every((one) => observed.some((there) => samePrefix(there, one)))) return
  const plan = planBridgeAddresses(wanted, observed, wish.forceAddress ? 'replace' : 'refuse')
  if ('conflict' in plan)
    throw fault(
      code.hostConflict,
      `bridge ${name} has another address`,
      `${name} has ${plan.conflict}, the network wants ${wish.addresses.join(', ')}; ` +
        'set "forceAddress": true to replace it, or use another "bridge"',
    )
  host.run([
    ...plan.remove.map((prefix) => ({
      what: `remove an address from bridge ${name}`,
      query: deleteAddress({ link: index, prefix, noPrefixRoute: false }),
      settled: [errno.EADDRNOTAVAIL],
    })),
    ...plan.add.map((prefix) => bridgeAddressStep(name, index, prefix)),
  ])
}

const isLinkLocal6 = ({ family, value }: { family: 4 | 6; value: bigint }): boolean =>
  family === 6 && value >> 118n === 0x3fan

/** By its alias; by its MAC, if a process was killed between making and marking it. */
const isOurBridge = ({ alias, name, mac }: Link): boolean =>
  alias === bridgeAlias || (alias === undefined && isMac(mac, bridgeMacOf(name)))

/** The host end of this attachment, if it is there and ours: a stranger may bear its name. */
export function ownLink(host: RouteSocket, id: AttachmentId): string | undefined {
  const { link: name, hostMac } = identityOf(id)
  const link = host.link({ name })
  if (!link) return undefined
  return parseAlias(link.alias) || isMac(link.mac, hostMac) ? name : undefined
}

/** Deletes the host end if it is there and ours. */
export function dropOwnLink(host: RouteSocket, id: AttachmentId): void {
  const name = ownLink(host, id)
  if (name !== undefined) host.deleteLink(name)
}

const isMac = (mac: Mac | undefined, text: string): boolean =>
  mac !== undefined && formatMac(mac) === text

/** Removes a bridge that Tulle made, once nothing is plugged into it. */
export function dropBridge(host: RouteSocket, name: string): void {
  const link = host.link({ name })
  if (!link || !isOurBridge(link)) return
  if (host.links().some((port) => port.master === link.index && !isDoomed(port))) return
  host.deleteLink(name)
}

/** A link that another DEL has set down and forgotten, and is about to delete. */
const isDoomed = ({ alias, flags }: Link): boolean =>
  (flags & IFF_UP) === 0 && parseAlias(alias) !== undefined

export const ipv6State = (): 'on' | 'off' => (hasIpv6() ? 'on' : 'off')
