import type {
  AttachedIp,
  AttachedRoute,
  Attachment,
  BridgeWish,
} from '../../src/datapath/attachment.ts'

export const modes = ['routed', 'bridge'] as const
export const families = ['v4', 'v6', 'dual'] as const
export type Families = (typeof families)[number]

const v4: AttachedIp = { address: '10.1.0.5', subnetBits: 24, gateway: '10.1.0.1' }
const v6: AttachedIp = { address: 'fd00:1::5', subnetBits: 64, gateway: 'fd00:1::1' }
const ipsOf: Readonly<Record<Families, readonly AttachedIp[]>> = {
  v4: [v4],
  v6: [v6],
  dual: [v4, v6],
}
const routesOf: Readonly<Record<Families, readonly AttachedRoute[]>> = {
  v4: [{ dst: '0.0.0.0/0', gw: null }],
  v6: [{ dst: '::/0', gw: null }],
  dual: [
    { dst: '0.0.0.0/0', gw: null },
    { dst: '::/0', gw: null },
  ],
}

/** What ADD makes of a plain configuration, but for names that are easy to read. */
export function attachmentOf(
  mode: Attachment['mode'],
  wanted: Families,
  more: Partial<Attachment> = {},
): Attachment {
  const ips = more.ips ?? ipsOf[wanted]
  return {
    network: 'net',
    container: 'c1',
    ifname: 'eth0',
    mode,
    link: 'tul0123456789a',
    mtuBytes: 1500,
    podMac: '0a:58:0a:01:00:05',
    hostMac: '0a:58:0a:01:00:01',
    bridge: mode === 'bridge' ? gatewayBridge(ips) : null,
    ips,
    routes: routesOf[wanted],
    masqueradeExcept: null,
    spoofCheck: true,
    ...more,
  }
}

/** The bridge of a network with isGateway. */
export const gatewayBridge = (ips: readonly AttachedIp[]): BridgeWish => ({
  name: 'cni0',
  addresses: ips.map(({ gateway, subnetBits }) => `${gateway}/${subnetBits}`),
  forceAddress: false,
  hairpin: false,
  isolated: false,
  promisc: false,
})
