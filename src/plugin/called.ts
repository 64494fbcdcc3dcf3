import type { NetworkConfig, RuntimeConfig } from '../cni/network-config.ts'
import type { PluginName } from './names.ts'

/**
 * The configuration as the plugin of that name reads it, in Tulle's own keys: nothing behind here
 * asks by which name the interface was made.
 */
export function configFor(plugin: PluginName, config: NetworkConfig): NetworkConfig {
  switch (plugin) {
    case 'bridge':
      return { ...asReference(config), mode: 'bridge' }
    case 'ptp':
      return { ...asPtp(asReference(config)), mode: 'routed', podPrefix: 'subnet' }
    case 'host-local':
    case 'static':
      return asIpam(plugin, config)
    default:
      // Nobody can ask for it by a key.
      return config.podPrefix === undefined ? config : { ...config, podPrefix: undefined }
  }
}

/** Keys of the bridge say nothing to ptp. */
function asPtp(config: NetworkConfig): NetworkConfig {
  const { bridge: _bridge, isGateway: _is, isDefaultGateway: _default, ...rest } = config
  return rest
}

/** Whoever calls may know us by another name; what its own keys say of interfaces is not for us. */
function asIpam(type: 'host-local' | 'static', config: NetworkConfig): NetworkConfig {
  const { mode: _, ipam, ...rest } = config
  return { ...rest, ipam: { ...ipam, type } }
}

/**
 * What the reference plugins that make interfaces have in common. A pod may send from addresses
 * that are not its own unless the configuration forbids it: virtual addresses (keepalived), nested
 * containers and VPNs in pods that run today must run on. Not where policies hold: they know a pod
 * by its addresses.
 */
function asReference(config: NetworkConfig): NetworkConfig {
  const { ipMasqBackend, macspoofchk, preserveDefaultVlan, runtimeConfig, ...rest } = config
  const { vlan, vlanTrunk, spoofCheck, policy } = config
  const hasVlans = Boolean(vlan) || Boolean(vlanTrunk?.length)
  return {
    ...rest,
    spoofCheck: spoofCheck ?? macspoofchk ?? policy?.enforce ?? false,
    // Which program writes the rules is no matter: that pods are masqueraded is.
    ...(ipMasqBackend === undefined || ipMasqBackend === 'iptables' ? {} : { ipMasqBackend }),
    ...(hasVlans && preserveDefaultVlan !== undefined ? { preserveDefaultVlan } : {}),
    ...(runtimeConfig === undefined ? {} : { runtimeConfig: ownKeys(runtimeConfig) }),
  }
}

/** Host ports and rates are other plugins' of the chain, whoever is told of them too. */
const ownKeys = ({
  portMappings: _ports,
  bandwidth: _rates,
  ...own
}: RuntimeConfig): RuntimeConfig => own
