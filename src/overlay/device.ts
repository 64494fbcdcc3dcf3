import { sha256 } from '@noble/hashes/sha2.js'
import { type Address, addressBytes, type Family } from '../base/address.ts'
import { formatMac, localMac } from '../base/mac.ts'
import { boundsOf, hostPrefix, type Prefix } from '../base/prefix.ts'
import type { Self, TunnelDevice, Underlay } from './fabric.ts'
import type { OverlayOptions } from './options.ts'

/** Our tunnel devices, by the family of the underlay. */
export const deviceNames: Readonly<Record<Family, string>> = { 4: 'tulle.1', 6: 'tulle-v6.1' }

/** What an inner packet grows by: its Ethernet header, VXLAN (RFC 7348), UDP and the outer IP. */
const overheadBytes: Readonly<Record<Family, number>> = { 4: 14 + 8 + 8 + 20, 6: 14 + 8 + 8 + 40 }

const families = [4, 6] as const satisfies readonly Family[]

/**
 * The device's MAC follows from its node's address, so that peers know it without being told: IPv4
 * as 02:74 and the four octets, IPv6 as 46 bits of its hash. Locally administered (bit 1).
 */
export function tunnelMac(address: Address): string {
  const bytes = addressBytes(address)
  return formatMac(address.family === 4 ? Uint8Array.of(0x02, 0x74, ...bytes) : hashed(bytes))
}

const hashed = (bytes: Uint8Array): Uint8Array => localMac(sha256(bytes))

/**
 * The gateway to IPv6 pods: the link-local address of that MAC (RFC 4291 appendix A). The kernel
 * takes a link-local gateway as it is; one of the pods' own network it refuses where any route but
 * the default one leads to that by another link, such as the direct route that is to be replaced.
 */
export function linkLocal(mac: string): Address {
  const [first = 0, ...rest] = mac.split(':').map((pair) => Number.parseInt(pair, 16))
  const bytes = [first ^ 2, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)]
  const value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0xfe80n << 48n)
  return { family: 6, value }
}

/** The first address of a network of pods: on its node's device, and the gateway to IPv4 pods. */
export const firstAddress = (podCIDR: Prefix): Address => boundsOf(podCIDR).first

/** One for each family in which this node is reached. */
export function devicesOf(self: Self, options: OverlayOptions): readonly TunnelDevice[] {
  return families.flatMap((family) => {
    const underlay = self.underlay[family]
    if (!underlay) return []
    const own = self.podCIDRs.filter(
      (podCIDR) => deviceFamily(self, podCIDR.address.family) === family,
    )
    return [
      {
        name: deviceNames[family],
        vni: options.vni,
        port: options.port,
        local: underlay.address,
        mac: tunnelMac(underlay.address),
        mtuBytes: tunnelMtu(underlay, options),
        addresses: own.map(firstAddress).map(hostPrefix),
      },
    ]
  })
}

/**
 * What fits through every way that this node's pods may take: their link's MTU. Over both families
 * of underlay the smaller one of those that its pods' families ride.
 */
export function podMtuBytes(self: Self, options: OverlayOptions): number {
  const isDirect = (self.mode ?? options.mode) === 'direct'
  const ridden = new Set(
    self.podCIDRs.flatMap((podCIDR) => deviceFamily(self, podCIDR.address.family) ?? []),
  )
  const underlays = families.flatMap((family) => {
    const underlay = self.underlay[family]
    return underlay && (ridden.size === 0 || ridden.has(family)) ? [underlay] : []
  })
  return Math.min(...underlays.map((one) => (isDirect ? one.mtuBytes : tunnelMtu(one, options))))
}

const tunnelMtu = ({ address, mtuBytes }: Underlay, options: OverlayOptions): number =>
  options.mtuBytes ?? mtuBytes - overheadBytes[address.family]

/** Pods ride the underlay of their own family; where there is none, the other. */
function deviceFamily(self: Self, podFamily: Family): Family | undefined {
  return podFamilyFirst(podFamily).find((family) => self.underlay[family])
}

export const podFamilyFirst = (family: Family): readonly Family[] =>
  family === 4 ? [4, 6] : [6, 4]
