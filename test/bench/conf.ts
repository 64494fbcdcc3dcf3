import { type Attachment, referencePlugin } from './cases.ts'

export const network = 'bench'
export const bridgeName = 'cni0'

export const podNamespace = 'default'
export const podName = 'bench'

/** The CNI_ARGS of a Kubernetes runtime. */
export const podArguments =
  `IgnoreUnknown=1;K8S_POD_NAMESPACE=${podNamespace};K8S_POD_NAME=${podName}` +
  ';K8S_POD_UID=00000000'

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

const portMappings = [{ hostPort: '@PORT@', containerPort: 80, protocol: 'tcp' }]
/** Bits a second, bits. */
const bandwidth = {
  ingressRate: 100_000_000,
  ingressBurst: 8_000_000,
  egressRate: 100_000_000,
  egressBurst: 8_000_000,
}
const sysctl = { 'net.core.somaxconn': '512' }

/**
 * Pairs of a plugin's name and its configuration: one for Tulle, five for the reference plugins.
 * @PORT@ is for chain.c to fill in.
 */
export function encodeChain(
  dialect: Dialect,
  cniVersion: string,
  families: Attachment['families'],
  dataDir: string,
): readonly (readonly [name: string, conf: string])[] {
  const attachment = { wiring: 'bridge', masquerade: 'masq', families } as const
  const first = JSON.parse(encodeConf(dialect, cniVersion, attachment, dataDir)) as object
  const behind = (type: string, keys: object): object => ({
    cniVersion,
    name: network,
    type,
    ...keys,
  })
  const plugins: readonly (readonly [string, object])[] =
    dialect === 'tulle'
      ? [['tulle', { ...first, sysctl, runtimeConfig: { portMappings, bandwidth } }]]
      : [
          ['bridge', first],
          ['portmap', behind('portmap', { snat: true, runtimeConfig: { portMappings } })],
          ['bandwidth', behind('bandwidth', { runtimeConfig: { bandwidth } })],
          ['tuning', behind('tuning', { sysctl })],
          ['firewall', behind('firewall', { backend: 'iptables' })],
        ]
  return plugins.map(([name, conf]) => [name, JSON.stringify(conf).replace('"@PORT@"', '@PORT@')])
}

/** A routed pod behind one host port. */
export const encodePorts = (dataDir: string, mapping: object): string => {
  const attachment = { wiring: 'routed', masquerade: 'plain', families: 'single' } as const
  const conf = JSON.parse(encodeConf('tulle', '1.1.0', attachment, dataDir)) as object
  return JSON.stringify({ ...conf, runtimeConfig: { portMappings: [mapping] } })
}
