import { type Attachment, referencePlugin } from './cases.ts'

export const network = 'bench'
export const bridgeName = 'cni0'

/** Large enough for 20,000 leases beside those of the run. */
export const subnet4 = '10.88.0.0/16'
export const subnet6 = 'fd00:88::/64'

export type Dialect = 'tulle' | 'reference'

/** The same network in the words of Tulle or of the reference plugins, on one line. */
export function encodeConf(
  dialect: Dialect,
  cniVersion: string,
  attachment: Attachment,
  dataDir: string,
): string {
  const dual = attachment.families === 'dual'
  const bridge = attachment.wiring === 'bridge'
  return JSON.stringify({
    cniVersion,
    name: network,
    ...(dialect === 'tulle'
      ? { type: 'tulle', mode: attachment.wiring }
      : { type: referencePlugin(attachment.wiring) }),
    ...(bridge ? { bridge: bridgeName, isGateway: true } : {}),
    ipMasq: attachment.masquerade === 'masq',
    ipam: {
      type: 'host-local',
      dataDir,
      ranges: [[{ subnet: subnet4 }], ...(dual ? [[{ subnet: subnet6 }]] : [])],
      routes: [{ dst: '0.0.0.0/0' }, ...(dual ? [{ dst: '::/0' }] : [])],
    },
  })
}
