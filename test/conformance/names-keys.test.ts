import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  add,
  added,
  addressesOf,
  ask,
  deleted,
  rangesOf,
  refusalOf,
} from '../support/attachment.ts'
import { executable, type Json } from '../support/cni.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import { asOurs, asReference, type Name } from '../support/named.ts'
import { reaches } from '../support/reach.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

const making = ['bridge', 'ptp'] as const

const confOf = (host: Host, name: Name, keys: Json = {}): Json => ({
  cniVersion: '1.0.0',
  name: 'net',
  type: name,
  ...(name === 'bridge' ? { isGateway: true } : {}),
  ipam: {
    type: 'host-local',
    dataDir: host.dataDir,
    ranges: rangesOf('v4'),
    routes: [{ dst: '0.0.0.0/0' }],
  },
  ...keys,
})

/** A packet from the pod, with an address that is not its own, is seen on its neighbour's side. */
function canSpoof(host: Host, one: Pod): boolean {
  const alien = '10.77.0.200'
  one.netns.ip('addr', 'add', `${alien}/32`, 'dev', 'eth0')
  host.netns.ip('route', 'replace', alien, 'via', '10.77.0.2')
  const ping = ['/usr/bin/ping', '-n', '-c', '1', '-W', '1', '-I', alien, uplink.node.v4]
  return one.netns.exec(ping).code === 0
}

type Spoof = Readonly<{ why: string; name: 'bridge' | 'ptp'; keys: Json; spoofs: boolean }>
const spoofs: readonly Spoof[] = [
  { why: 'as the reference, it may', name: 'bridge', keys: {}, spoofs: true },
  { why: 'off is off', name: 'bridge', keys: { macspoofchk: false }, spoofs: true },
  { why: 'macspoofchk', name: 'bridge', keys: { macspoofchk: true }, spoofs: false },
  { why: 'our own key', name: 'bridge', keys: { spoofCheck: true }, spoofs: false },
  { why: 'as the reference, it may', name: 'ptp', keys: {}, spoofs: true },
  { why: 'our own key', name: 'ptp', keys: { spoofCheck: true }, spoofs: false },
]

for (const { why, name, keys, spoofs: expected } of spoofs)
  t.test(`${name}: addresses that are not the pod’s own: ${why}`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      t.same(addressesOf(added(pod, confOf(host, name, keys), asOurs(host, name))), ['10.77.0.2'])
      t.equal(canSpoof(host, pod), expected)
      deleted(pod, confOf(host, name, keys), asOurs(host, name))
    }),
  )

t.test('the reference lets a pod do so', (t) =>
  withHost((host) => {
    const pod = host.pod()
    added(pod, confOf(host, 'bridge'), asReference(host, 'bridge'))
    t.equal(canSpoof(host, pod), true)
    deleted(pod, confOf(host, 'bridge'), asReference(host, 'bridge'))
  }),
)

for (const name of making)
  for (const ipMasqBackend of [undefined, 'iptables', 'nftables'])
    t.test(`${name}: masqueraded, backend ${ipMasqBackend}`, (t) =>
      withHost((host) => {
        const keys = { ipMasq: true, ...(ipMasqBackend ? { ipMasqBackend } : {}) }
        const conf = confOf(host, name, keys)
        const pod = host.pod()
        const left = watchResidue(host, [pod.netns])
        added(pod, conf, asOurs(host, name))
        t.ok(reaches(pod.netns, uplink.outside.v4), 'outside, which knows no way back to the pod')
        deleted(pod, conf, { ...asOurs(host, name), netns: '' })
        t.same(left(), [])
      }),
    )

type Refused = Readonly<{ why: string; name: Name; keys: Json; code: number }>
const refused: readonly Refused[] = [
  { why: 'a VLAN', name: 'bridge', keys: { vlan: 7 }, code: 2 },
  { why: 'VLANs', name: 'bridge', keys: { vlanTrunk: [{ id: 7 }] }, code: 2 },
  { why: 'detection', name: 'bridge', keys: { enabledad: true }, code: 2 },
  { why: 'no interface', name: 'bridge', keys: { disableContainerInterface: true }, code: 2 },
  { why: 'a backend', name: 'bridge', keys: { ipMasq: true, ipMasqBackend: 'ebpf' }, code: 2 },
  { why: 'hairpin twice', name: 'bridge', keys: { promiscMode: true, hairpinMode: true }, code: 7 },
  { why: 'no IPAM', name: 'ptp', keys: { ipam: {} }, code: 7 },
  { why: 'a prevResult', name: 'bridge', keys: { prevResult: { cniVersion: '1.0.0' } }, code: 7 },
]
for (const { why, name, keys, code } of refused)
  t.test(`${name}: refused: ${why}`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const conf = confOf(host, name, keys)
      t.equal(refusalOf(add(pod, conf, asOurs(host, name)))?.code, code)
      deleted(pod, conf, asOurs(host, name))
      t.same(left(), [])
    }),
  )

/** Keys that say nothing here: the reference does not read them either. */
for (const [name, keys] of [
  ['bridge', { preserveDefaultVlan: true, vlan: 0, vlanTrunk: [] }],
  ['bridge', { runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 2 }] } }],
  ['ptp', { runtimeConfig: { bandwidth: { ingressRate: 1, ingressBurst: 1 } } }],
  ['ptp', { bridge: 'cni9', isGateway: true, isDefaultGateway: true, mode: 'bridge' }],
  ['bridge', { mode: 'routed', podPrefix: 'subnet', ipam: {} }],
] as const)
  t.test(`${name}: ${JSON.stringify(keys)} changes nothing`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const conf = confOf(host, name, keys)
      const { interfaces } = added(pod, conf, asOurs(host, name))
      t.equal(interfaces?.length, name === 'bridge' ? 3 : 2)
      t.equal(host.netns.ip('link').includes('cni9'), false)
      deleted(pod, conf, asOurs(host, name))
      t.same(left(), [])
    }),
  )

/** A chain of processes without end, if it were taken at its word. */
t.test('an IPAM or a delegate that is ourselves starts no process', (t) =>
  withHost((host) => {
    const directory = join(host.directory, 'deep')
    mkdirSync(directory)
    const script = `#!/bin/sh\necho x >> ${directory}/depth\nexit 9\n`
    const names = ['tulle', 'bridge', 'ptp', 'flannel'] as const
    for (const name of names) writeFileSync(join(directory, name), script, { mode: 0o755 })
    writeFileSync(join(host.directory, 'subnet.env'), subnetEnv)
    for (const name of ['bridge', 'ptp', 'flannel'] as const)
      for (const type of names) {
        const pod = host.pod()
        const subnetFile = join(host.directory, 'subnet.env')
        const conf = { ...confOf(host, name), subnetFile, ipam: { type } }
        const extra = { ...asOurs(host, name), path: directory }
        t.equal(refusalOf(add(pod, conf, extra))?.code, 7, `${name}: ${type}`)
        const asked = { ...conf, cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] }
        t.equal(refusalOf(ask('STATUS', host, asked, extra))?.code, 7, `${name}: ${type}`)
        t.equal(ask('GC', host, asked, extra).code, 0, `${name}: ${type}`)
        deleted(pod, conf, extra)
      }
    t.notOk(existsSync(join(directory, 'depth')))
  }),
)
const subnetEnv =
  'FLANNEL_NETWORK=10.77.0.0/16\nFLANNEL_SUBNET=10.77.3.1/24\nFLANNEL_MTU=1400\n' +
  'FLANNEL_IPMASQ=true\n'

t.test('the line that each name answers without a verb', (t) =>
  withHost((host) => {
    t.ok(existsSync(executable))
    for (const name of ['bridge', 'ptp', 'host-local', 'static', 'flannel'] as const) {
      const { plugin, path } = asOurs(host, name)
      const ran = host.netns.exec([plugin], { env: { PATH: `/usr/bin:${path}` } })
      t.match(ran.stderr, new RegExp(`^CNI ${name} plugin v\\d+\\.\\d+\\.\\d+`))
      const version = ask('VERSION', host, { cniVersion: '0.4.0' }, asOurs(host, name))
      t.ok(JSON.parse(version.stdout).supportedVersions.includes('1.1.0'))
    }
  }),
)
