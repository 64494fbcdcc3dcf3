import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runLater } from '../../support/netns.ts'
import { apiServerUrl, apiServices, controlPlane, places, type Site } from './places.ts'

/** Paths of a certificate and its key, PEM. */
export type Pair = Readonly<{ certificate: string; key: string }>

type Identity = Readonly<{
  name: string
  user: string
  group?: string
  /** Names and addresses that a server answers as; a client has none. */
  server?: readonly string[]
}>

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export const pair = (name: string): Pair => ({
  certificate: join(places.pki, `${name}.crt`),
  key: join(places.pki, `${name}.key`),
})

export const serviceAccounts = {
  key: join(places.pki, 'service-accounts.key'),
  public: join(places.pki, 'service-accounts.pub'),
} as const

/** The authority, what every part shows, and the key that signs service accounts' tokens. */
export async function makePki(nodes: readonly Site[]): Promise<void> {
  mkdirSync(places.pki, { recursive: true, mode: 0o700 })
  const { certificate, key } = pair('ca')
  const authority = ['-x509', '-days', '30', '-subj', '/CN=tulle-cluster']
  await openssl(['req', ...authority, ...newKey, '-keyout', key, '-out', certificate])
  await Promise.all([
    makeServiceAccountKeys(),
    ...[...controlPlaneIdentities(), ...nodes.flatMap(nodeIdentities)].map(sign),
  ])
  writeKubeconfig(places.admin, pair('admin'))
}

async function makeServiceAccountKeys(): Promise<void> {
  const { key, public: publicKey } = serviceAccounts
  await openssl(['genrsa', '-out', key, '2048'])
  await openssl(['rsa', '-in', key, '-pubout', '-out', publicKey])
}

const controlPlaneIdentities = (): readonly Identity[] => [
  {
    name: 'apiserver',
    user: 'kube-apiserver',
    server: [
      ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'localhost'],
      'kubernetes.default.svc.cluster.local',
      ...apiServices,
      ...[controlPlane.v4, controlPlane.v6, '127.0.0.1'],
    ],
  },
  { name: 'apiserver-kubelet', user: 'kube-apiserver-kubelet', group: 'system:masters' },
  { name: 'admin', user: 'admin', group: 'system:masters' },
  { name: 'controller-manager', user: 'system:kube-controller-manager' },
  { name: 'scheduler', user: 'system:kube-scheduler' },
  { name: 'proxy', user: 'system:kube-proxy' },
]

const nodeIdentities = ({ name, v4, v6 }: Site): readonly Identity[] => [
  { name: `kubelet-${name}`, user: `system:node:${name}`, group: 'system:nodes' },
  {
    name: `kubelet-${name}-server`,
    user: `system:node:${name}`,
    group: 'system:nodes',
    server: [name, v4, v6],
  },
]

async function sign({ name, user, group, server }: Identity): Promise<void> {
  const { certificate, key } = pair(name)
  const authority = pair('ca')
  const isAddress = (text: string): boolean => /^[\d.]+$|:/.test(text)
  const names = server?.map((one) => `${isAddress(one) ? 'IP' : 'DNS'}:${one}`)
  const usage = `extendedKeyUsage=${names ? 'serverAuth' : 'clientAuth'}`
  const extensions = [usage, ...(names ? [`subjectAltName=${names.join(',')}`] : [])]
  const subject = `${group === undefined ? '' : `/O=${group}`}/CN=${user}`
  await openssl([
    ...['req', '-x509', '-days', '30', ...newKey, '-subj', subject],
    ...['-CA', authority.certificate, '-CAkey', authority.key],
    ...extensions.flatMap((one) => ['-addext', one]),
    ...['-addext', 'basicConstraints=critical,CA:FALSE'],
    ...['-keyout', key, '-out', certificate],
  ])
}

async function openssl(words: readonly string[]): Promise<void> {
  const done = await runLater(['openssl', ...words])
  if (done.code !== 0) throw new Error(`Cannot openssl ${words[0]}: ${done.stderr.trim()}`)
}

/** A kubeconfig (JSON is YAML) that carries all it needs. */
export function writeKubeconfig(path: string, client: Pair): void {
  const encoded = (file: string): string => readFileSync(file).toString('base64')
  const authority = encoded(pair('ca').certificate)
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'tulle', cluster: { server: apiServerUrl, 'certificate-authority-data': authority } },
    ],
    users: [
      {
        name: 'self',
        user: {
          'client-certificate-data': encoded(client.certificate),
          'client-key-data': encoded(client.key),
        },
      },
    ],
    contexts: [{ name: 'tulle', context: { cluster: 'tulle', user: 'self' } }],
    'current-context': 'tulle',
  }
  writeFileSync(path, `${JSON.stringify(config, undefined, 2)}\n`, { mode: 0o600 })
}
