import { formatAddress, parseAddress } from '../base/address.ts'
import { describe } from './config.ts'
import { code, fault } from './fault.ts'
import type { NetworkConfig } from './network-config.ts'

/** One entry of the capability portMappings, as runtimes send it (CONVENTIONS.md of CNI). */
export type PortMappingConfig = {
  readonly hostPort?: number
  readonly containerPort?: number
  readonly protocol?: string
  readonly hostIP?: string
}

/** What the network configuration itself says of host ports: the reference portmap's keys. */
export type PortMapConfig = {
  readonly snat?: boolean
  readonly masqAll?: boolean
  readonly markMasqBit?: number
  readonly externalSetMarkChain?: string
  readonly conditionsV4?: readonly string[] | null
  readonly conditionsV6?: readonly string[] | null
  readonly backend?: string
  /** A port that a process of the host listens on is refused. */
  readonly refuseBusyPorts?: boolean
}

const protocols = ['tcp', 'udp', 'sctp'] as const

/** A port of the host that is asked for; `hostIp` null: of every address. */
export type AskedPort = {
  readonly protocol: (typeof protocols)[number]
  readonly hostPort: number
  readonly containerPort: number
  readonly hostIp: string | null
}

/**
 * The ports that the runtime asks for, each once: protocols in any case (containerd sends "TCP"),
 * tcp if none is said; an unspecified address of the host means all of them.
 * @throws {CniFault} 7 for what makes no sense, and for two mappings of one port; 2 for conditions.
 */
export function readPortMappings(config: NetworkConfig): readonly AskedPort[] {
  const asked = (config.runtimeConfig?.portMappings ?? []).map(readMapping)
  if (asked.length === 0) return []
  refuseOddKeys(config)
  const byPlace = new Map<string, AskedPort>()
  for (const [at, port] of asked.entries()) {
    const place = `${port.protocol} ${port.hostPort} ${port.hostIp ?? ''}`
    const other = byPlace.get(place)
    if (other && other.containerPort !== port.containerPort)
      throw invalid(
        pathOf(at),
        port,
        `a host port once: it leads to port ${other.containerPort} of the pod already`,
      )
    byPlace.set(place, port)
  }
  return [...byPlace.values()]
}

function readMapping(mapping: PortMappingConfig, at: number): AskedPort {
  const { hostPort, containerPort } = mapping
  const given = mapping.protocol || 'tcp'
  const protocol = protocols.find((name) => name === given.toLowerCase())
  if (!protocol) throw invalid(`${pathOf(at)}.protocol`, given, '"tcp", "udp" or "sctp"')
  const port = (key: string, value: number | undefined): number => {
    if (value !== undefined) return value
    throw invalid(`${pathOf(at)}.${key}`, value, 'a port, 1 to 65535')
  }
  return {
    protocol,
    hostPort: port('hostPort', hostPort),
    containerPort: port('containerPort', containerPort),
    hostIp: readHostIp(mapping.hostIP ?? '', at),
  }
}

function readHostIp(text: string, at: number): string | null {
  if (text === '') return null
  const address = parseAddress(text)
  if (!address)
    throw invalid(`${pathOf(at)}.hostIP`, text, 'an IP address such as "192.0.2.1", or ""')
  return address.value === 0n ? null : formatAddress(address)
}

const pathOf = (at: number): string => `runtimeConfig.portMappings[${at}]`

function refuseOddKeys(config: NetworkConfig): void {
  const { markMasqBit, externalSetMarkChain, backend } = config
  if (markMasqBit !== undefined && externalSetMarkChain)
    throw invalid(
      'externalSetMarkChain',
      externalSetMarkChain,
      'nothing beside markMasqBit; Tulle needs neither, and marks no packets',
    )
  if (backend && backend !== 'nftables' && backend !== 'iptables')
    throw invalid('backend', backend, '"nftables" or "iptables"; both are kept in nftables')
  for (const key of ['conditionsV4', 'conditionsV6'] as const)
    if (config[key]?.length)
      throw fault(
        code.unsupportedField,
        `unsupported key ${key} in the network configuration`,
        `${key} is ${describe(config[key])}; drop it: host ports are found in a map, and there ` +
          'is no rule of their own that conditions could stand in',
      )
}

const invalid = (path: string, found: unknown, accepted: string): Error =>
  fault(
    code.invalidConfig,
    'invalid network configuration',
    `${path} is ${found === undefined ? 'absent' : describe(found)}; accepted: ${accepted}`,
  )
