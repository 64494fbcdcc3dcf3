import { formatMac } from '../../base/mac.ts'
import { code, fault } from '../../cni/fault.ts'
import { nameOf } from '../../datapath/attachment.ts'
import { parseAlias } from '../../datapath/mark.ts'
import type { LinkSettings } from '../../datapath/tuning.ts'
import { FilterSocket } from '../../kernel/filter-socket.ts'
import { cutComment } from '../../wire/nft/message.ts'
import type { Link } from '../../wire/rtnl/observed-link.ts'
import type { Call } from '../context.ts'
import type { Target } from './part.ts'

// What would cut the pod off without a word from the kernel.

const ipv6MtuMin = 1280 // RFC 8200 section 5

/** Under 1280 bytes the kernel takes every IPv6 address off the link. */
export function refuseMtu({ mtuBytes }: LinkSettings, { ips }: Target): void {
  const ipv6 = ips.find((text) => text.includes(':'))
  if (mtuBytes === undefined || mtuBytes >= ipv6MtuMin || ipv6 === undefined) return
  throw fault(
    code.invalidConfig,
    'invalid network configuration',
    `mtu is ${mtuBytes}; accepted: at least ${ipv6MtuMin} bytes, ` +
      `as the pod has the IPv6 address ${ipv6}`,
  )
}

type Change = {
  readonly pod: Link
  readonly target: Target
  readonly mac: string | undefined
}

/**
 * Behind our own plugin: the host end of a routed pod has the pod's MAC in permanent neighbour
 * entries, and the guard of a bridged one drops what comes from another.
 */
export function refuseMac(call: Call, { pod, target, mac }: Change): void {
  const there = pod.mac && formatMac(pod.mac)
  if (mac === undefined || mac === there || !isHeld(call, target)) return
  throw fault(
    code.invalidConfig,
    'the MAC is settled already',
    `mac is ${mac}, and ${call.id.ifname} has ${there ?? 'none'} from the plugin that made it, ` +
      'which lets no other pass; give that plugin the capability "mac", or set spoofCheck to ' +
      'false there on a bridge',
  )
}

function isHeld({ native, id }: Call, { host, hostLink, bridge }: Target): boolean {
  const link = hostLink === null ? undefined : host.link({ name: hostLink })
  if (!link || !parseAlias(link.alias)) return false
  if (bridge === null) return true
  const name = cutComment(nameOf(id))
  return new FilterSocket(native)
    .findElements((comment) => comment === name)
    .some(({ family }) => family === 'bridge')
}
