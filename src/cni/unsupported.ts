import { describe } from './config.ts'
import { code, fault } from './fault.ts'
import type { NetworkConfig } from './network-config.ts'

/**
 * Keys of the reference plugins that Tulle reads but can't act on yet: silence would be a lie (code
 * 2). Not for DEL: what was refused on ADD must still be torn down.
 */
export function refuseUnsupported(config: NetworkConfig): void {
  const { vlan, vlanTrunk, preserveDefaultVlan, enabledad, disableContainerInterface } = config
  const { ipMasqBackend } = config
  const noVlan = 'drop it: Tulle has no VLANs on the bridge yet'
  const unsupported: readonly [key: string, value: unknown, remedy: string][] = [
    ['vlan', vlan || undefined, noVlan],
    ['vlanTrunk', vlanTrunk?.length ? vlanTrunk : undefined, noVlan],
    ['preserveDefaultVlan', preserveDefaultVlan, noVlan],
    ['enabledad', enabledad || undefined, 'drop it: IPAM sees to it that an address is free'],
    ['disableContainerInterface', disableContainerInterface || undefined, 'drop it'],
    [
      'ipMasqBackend',
      ipMasqBackend === 'nftables' ? undefined : ipMasqBackend || undefined,
      'use "nftables"',
    ],
  ]
  const first = unsupported.find(([, value]) => value !== undefined)
  if (!first) return
  const [key, value, remedy] = first
  throw fault(
    code.unsupportedField,
    `unsupported key ${key} in the network configuration`,
    `${key} is ${describe(value)}; ${remedy}`,
  )
}
