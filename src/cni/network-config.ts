import type { BandwidthKeys, BandwidthSources } from './bandwidth.ts'
import type { FirewallConfig } from './firewall.ts'
import type { OverlayConfig } from './overlay.ts'
import type { PolicyConfig } from './policy.ts'
import type { PortMapConfig, PortMappingConfig } from './port-mappings.ts'
import type { TuningConfig } from './tuning.ts'
import type { CniVersion } from './version.ts'

export type RangeConfig = {
  readonly subnet: string
  readonly rangeStart?: string
  readonly rangeEnd?: string
  readonly gateway?: string
}

export type RouteConfig = {
  readonly dst: string
  readonly gw?: string
  readonly mtu?: number
  readonly advmss?: number
  readonly priority?: number
  readonly table?: number
  readonly scope?: number
}

export type Dns = {
  readonly nameservers?: readonly string[]
  readonly domain?: string
  readonly search?: readonly string[]
  readonly options?: readonly string[]
}

export type IpamConfig = Partial<RangeConfig> & {
  readonly type?: string
  readonly ranges?: readonly (readonly RangeConfig[])[]
  readonly routes?: readonly RouteConfig[]
  /** Of `static`. */
  readonly addresses?: readonly { readonly address: string; readonly gateway?: string }[]
  readonly dns?: Dns
  readonly dataDir?: string
  readonly resolvConf?: string
}

export type RuntimeConfig = {
  readonly ips?: readonly string[]
  readonly mac?: string
  readonly ipRanges?: readonly (readonly RangeConfig[])[]
  readonly dns?: {
    readonly servers?: readonly string[]
    readonly searches?: readonly string[]
    readonly options?: readonly string[]
  }
  readonly portMappings?: readonly PortMappingConfig[] | null
  readonly bandwidth?: BandwidthKeys | null
  /** Names for the pod; podman sends an object of lists by network. Nobody here serves DNS. */
  readonly aliases?: unknown
  readonly 'io.kubernetes.cri.pod-annotations'?: Readonly<Record<string, string>> | null
}

export type AttachmentKey = { readonly containerID: string; readonly ifname: string }

/** A network configuration that has the right shape; every key is documented in README.md. */
export type NetworkConfig = PluginConfigs & {
  readonly cniVersion: CniVersion
  readonly name: string
  readonly type?: string
  readonly mode?: 'routed' | 'bridge'
  /** Not a key: set by the name ptp, whose pods have their subnet's prefix. */
  readonly podPrefix?: 'subnet' | undefined
  readonly ipMasq?: boolean
  readonly ipMasqBackend?: string
  readonly nonMasqueradeCIDRs?: readonly string[]
  readonly spoofCheck?: boolean
  readonly macspoofchk?: boolean
  readonly bridge?: string
  readonly isGateway?: boolean
  readonly isDefaultGateway?: boolean
  readonly forceAddress?: boolean
  readonly hairpinMode?: boolean
  readonly promiscMode?: boolean
  readonly portIsolation?: boolean
  readonly vlan?: number
  readonly vlanTrunk?: readonly unknown[] | null
  readonly preserveDefaultVlan?: boolean
  readonly enabledad?: boolean
  readonly disableContainerInterface?: boolean
  readonly dataDir?: string
  readonly subnetFile?: string
  readonly delegate?: Readonly<Record<string, unknown>>
  readonly dns?: Dns
  readonly ipam?: IpamConfig
  readonly overlay?: OverlayConfig
  readonly policy?: PolicyConfig
  readonly runtimeConfig?: RuntimeConfig
  readonly args?: {
    readonly cni?: TuningConfig & { readonly ips?: readonly string[] }
  } | null
  readonly prevResult?: unknown
  readonly 'cni.dev/valid-attachments'?: readonly AttachmentKey[] | null
  readonly 'cni.dev/attachments'?: readonly AttachmentKey[] | null
}

/** What the chained plugins read, each in its own file. */
type PluginConfigs = TuningConfig &
  FirewallConfig &
  PortMapConfig &
  Omit<BandwidthSources, 'runtimeConfig'>
