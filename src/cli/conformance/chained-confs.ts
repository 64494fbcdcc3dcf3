import type { Json } from './answers.ts'

/** Configurations of plugins that change what the plugin before them has made. */
export const chainedConfs: Readonly<Record<string, Json>> = {
  portmap: {
    snat: true,
    capabilities: { portMappings: true },
    runtimeConfig: { portMappings: [{ hostPort: 18_080, containerPort: 80, protocol: 'tcp' }] },
  },
  bandwidth: {
    ingressRate: 8_000_000,
    ingressBurst: 8_000_000,
    egressRate: 8_000_000,
    egressBurst: 8_000_000,
  },
  tuning: { sysctl: { 'net.ipv4.conf.eth0.arp_announce': '2' }, mtu: 1400 },
  firewall: {},
  sbr: {},
}
