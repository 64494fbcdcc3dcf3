import {
  type Address,
  addressBytes,
  addressFromBytes,
  type Family,
  formatAddress,
  sameAddress,
} from '../base/address.ts'
import { Reader, Writer } from '../base/bytes.ts'
import { concatenate, type Element } from '../wire/nft/set.ts'
import type { Extras } from './extras.ts'
import { ifnameBytes } from './packet-match.ts'
import { addressOf } from './wiring.ts'

/** One port of the host that leads to a port of the pod. */
export type PortMapping = {
  readonly protocol: Protocol
  readonly hostPort: number
  readonly containerPort: number
  /** The one address of the host that it is bound to; null: every address. */
  readonly hostIp: string | null
}

export type HostPorts = {
  readonly mappings: readonly PortMapping[]
  /** Link through which the host reaches the pod; null where there is no telling. */
  readonly gate: string | null
  /**
   * Whose connections come to the pod from the host's address: `returning` ones, whose answers
   * would miss the host otherwise, all, or none.
   */
  readonly masquerade: 'returning' | 'all' | 'none'
  /** The host's loopback addresses that lead to the pod. */
  readonly loopback: readonly Family[]
  /** Whether the gate was made fit for them by Tulle, which undoes that one day. */
  readonly isGateOurs: boolean
}

/** IANA's protocol numbers. */
const protocols = { tcp: 6, udp: 17, sctp: 132 } as const
export type Protocol = keyof typeof protocols
export const udp = protocols.udp

/** A mapping as one family has it: from which address of the host, to which of the pod. */
export type Forward = PortMapping & { readonly host: Address | null; readonly pod: Address }

/** The first address of each family takes part; what is bound to the other family does not. */
export function forwardsOf(
  ips: readonly string[],
  mappings: readonly PortMapping[],
): readonly Forward[] {
  const pods = firstOfEach(ips)
  return mappings.flatMap((mapping) => {
    const host = mapping.hostIp === null ? null : addressOf(mapping.hostIp)
    return pods
      .filter(({ family }) => host === null || host.family === family)
      .map((pod) => ({ ...mapping, host, pod }))
  })
}

export const firstOfEach = (ips: readonly string[]): readonly Address[] =>
  ([4, 6] as const).flatMap(
    (family) => ips.map(addressOf).find((address) => address.family === family) ?? [],
  )

/** A loopback address leads to the pod through a link that has to be told so. */
export const loopbackFamilies = (forwards: readonly Forward[]): readonly Family[] =>
  ([4, 6] as const).filter((family) =>
    forwards.some(({ host, pod }) => pod.family === family && (host === null || isLoopback(host))),
  )

const isLoopback = ({ family, value }: Address): boolean =>
  family === 4 ? value >> 24n === 127n : value === 1n

/** A socket of the host that waits for whoever sends to its port; address 0: on every address. */
export type Listener = { readonly address: Address; readonly port: number }

/** Whether such a socket would get no more of what is sent to it. */
export function isListenedOn(
  { host, hostPort, pod }: Forward,
  { address, port: at }: Listener,
): boolean {
  if (at !== hostPort) return false
  const listening = unmapped(address)
  // A socket of :: may be one of IPv4 too (ipv6(7), IPV6_V6ONLY).
  if (listening.value === 0n) return listening.family === 6 || pod.family === 4
  return listening.family === pod.family && (host === null || sameAddress(host, listening))
}

/** ::ffff:192.0.2.1 is 192.0.2.1 (RFC 4291 section 2.5.5.2). */
const unmapped = ({ family, value }: Address): Address =>
  family === 6 && value >> 32n === 0xffffn
    ? { family: 4, value: value & 0xffffffffn }
    : { family, value }

/** "tcp port 80", "udp port 53 of 192.0.2.1" */
export const formatForward = ({ protocol, hostPort, hostIp }: PortMapping): string =>
  `${protocol} port ${hostPort}${hostIp === null ? '' : ` of ${hostIp}`}`

const port = (value: number): Uint8Array => new Writer().u16be(value).done()

/** Sets of `inet tulle`, by family. */
export const hostPortSets = {
  /** Protocol, port → pod's address, port. */
  any: (family: Family): string => `hostport${family}`,
  /** Host's address, protocol, port → pod's address, port. */
  bound: (family: Family): string => `hostip${family}`,
  /** Link, pod's address. */
  returning: (family: Family): string => `hairpin${family}`,
  /** Pod's address, twice. */
  itself: (family: Family): string => `self${family}`,
  /** Pod's address. */
  all: (family: Family): string => `masqall${family}`,
} as const

export function hostPortElements(extras: Extras): readonly Element[] {
  const { hostPorts } = extras
  if (!hostPorts) return []
  const table = { family: 'inet', table: 'tulle' } as const
  const forwards = forwardsOf(extras.ips, hostPorts.mappings)
  const reached = firstOfEach(extras.ips).filter(({ family }) =>
    forwards.some(({ pod }) => pod.family === family),
  )
  const { gate, masquerade } = hostPorts
  return [
    ...forwards.map(({ protocol, hostPort, containerPort, host, pod }) => ({
      ...table,
      set: host ? hostPortSets.bound(pod.family) : hostPortSets.any(pod.family),
      key: concatenate([
        ...(host ? [addressBytes(host)] : []),
        Uint8Array.of(protocols[protocol]),
        port(hostPort),
      ]),
      value: concatenate([addressBytes(pod), port(containerPort)]),
      isExclusive: true,
    })),
    ...reached.flatMap((pod) => {
      if (masquerade === 'all')
        return [{ ...table, set: hostPortSets.all(pod.family), key: addressBytes(pod) }]
      if (masquerade === 'none') return []
      const own = addressBytes(pod)
      const itself = {
        ...table,
        set: hostPortSets.itself(pod.family),
        key: concatenate([own, own]),
      }
      if (gate === null) return [itself]
      const key = concatenate([ifnameBytes(gate), own])
      return [itself, { ...table, set: hostPortSets.returning(pod.family), key }]
    }),
  ]
}

/** What an element of the maps stands for, as `formatForward` says it. */
export function portOfElement({ set, key }: Element): string | undefined {
  const family = [4, 6].find((one) => set === `hostip${one}`)
  if (family === undefined && set !== 'hostport4' && set !== 'hostport6') return undefined
  const reader = new Reader(key)
  const host = family === undefined ? undefined : reader.bytes(family === 4 ? 4 : 16)
  const number = reader.u8()
  reader.bytes(3)
  const name = Object.entries(protocols).find(([, one]) => one === number)?.[0] ?? String(number)
  const text = `${name} port ${(reader.u8() << 8) | reader.u8()}`
  const address = host && addressFromBytes(host)
  return address ? `${text} of ${formatAddress(address)}` : text
}
