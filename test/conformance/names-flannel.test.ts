import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  add,
  added,
  addressesOf,
  ask,
  attach,
  check,
  deleted,
  type Extra,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, withHost } from '../support/host.ts'
import { leases } from '../support/leases.ts'
import { asOurs, asReference, folderOf } from '../support/named.ts'
import { Recorder } from '../support/recorder.ts'
import { referenceDirectory } from '../support/reference.ts'
import { watchResidue } from '../support/residue.ts'
import { compare, lookAt, type Seen } from '../support/seen.ts'

t.setTimeout(240_000)

const subnetFile = (host: Host): string => join(host.directory, 'subnet.env')
const scratch = (host: Host): string => join(host.directory, 'flannel')

const v4 = { FLANNEL_NETWORK: '10.77.0.0/16', FLANNEL_SUBNET: '10.77.3.1/24' }
const v6 = { FLANNEL_IPV6_NETWORK: 'fd00:77::/48', FLANNEL_IPV6_SUBNET: 'fd00:77:0:3::1/64' }
const rest = { FLANNEL_MTU: '1400', FLANNEL_IPMASQ: 'true' }

function flanneld(host: Host, values: Readonly<Record<string, string>>): void {
  const lines = Object.entries(values).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(subnetFile(host), lines.join(''))
}

/** As flannel's manifest writes it, but for folders. */
const confOf = (host: Host, keys: Json = {}, version = '1.0.0'): Json => ({
  cniVersion: version,
  name: 'cbr0',
  type: 'flannel',
  subnetFile: subnetFile(host),
  dataDir: scratch(host),
  ipam: { dataDir: host.dataDir },
  delegate: { hairpinMode: true, isDefaultGateway: true },
  ...keys,
})

type Row = Readonly<{ why: string; env: Readonly<Record<string, string>>; keys?: Json; conf: Json }>
const bridged = { type: 'bridge', hairpinMode: true, isDefaultGateway: true, isGateway: true }
const set = (subnet: string): readonly Json[] => [{ subnet }]

/** What flannel makes of its file, written out by hand for the plugin that it calls. */
const rows: readonly Row[] = [
  {
    why: 'IPv4',
    env: { ...v4, ...rest },
    conf: {
      ...bridged,
      ipMasq: false,
      mtu: 1400,
      ipam: { ranges: [set('10.77.3.0/24')], routes: [{ dst: '10.77.0.0/16' }] },
    },
  },
  {
    why: 'both families',
    env: { ...v4, ...v6, ...rest },
    conf: {
      ...bridged,
      ipMasq: false,
      mtu: 1400,
      ipam: {
        ranges: [set('10.77.3.0/24'), set('fd00:77:0:3::/64')],
        routes: [{ dst: '10.77.0.0/16' }, { dst: 'fd00:77::/48' }],
      },
    },
  },
  {
    why: 'two networks, a route of its own, masquerading left to the bridge',
    env: {
      ...v4,
      ...rest,
      FLANNEL_NETWORK: '10.77.0.0/16,10.78.0.0/16',
      FLANNEL_IPMASQ: 'false',
    },
    keys: { ipam: { routes: [{ dst: '198.51.100.0/24' }] } },
    conf: {
      ...bridged,
      ipMasq: true,
      mtu: 1400,
      ipam: {
        ranges: [set('10.77.3.0/24')],
        routes: [{ dst: '198.51.100.0/24' }, { dst: '10.77.0.0/16' }, { dst: '10.78.0.0/16' }],
      },
    },
  },
  {
    why: 'ptp, with an MTU of its own',
    env: { ...v4, ...rest },
    keys: { delegate: { type: 'ptp', mtu: 1300 } },
    conf: {
      type: 'ptp',
      ipMasq: false,
      mtu: 1300,
      ipam: { ranges: [set('10.77.3.0/24')], routes: [{ dst: '10.77.0.0/16' }] },
    },
  },
]

const withDataDir = (host: Host, ipam: unknown): Json => ({
  ...(ipam as Json),
  dataDir: host.dataDir,
})

async function seenBy(attached: (host: Host) => readonly [Json, Extra]): Promise<Seen> {
  let seen: Seen = new Map()
  await withHost((host) => {
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const [conf, extra] = attached(host)
    seen = lookAt(pod, added(pod, conf, extra))
    deleted(pod, conf, extra)
    const gone = left()
    if (extra.plugin?.endsWith('/flannel') && gone.length > 0) throw new Error(gone.join('\n'))
  })
  return seen
}

for (const { why, env, keys = {}, conf } of rows)
  t.test(why, async (t) => {
    const flannel = await seenBy((host) => {
      flanneld(host, env)
      const all = { ...keys, ipam: withDataDir(host, keys.ipam) }
      return [confOf(host, all), asOurs(host, 'flannel')]
    })
    const type = conf.type as 'bridge' | 'ptp'
    const written = (host: Host): Json => ({
      cniVersion: '1.0.0',
      name: 'cbr0',
      ...conf,
      ipam: { type: 'host-local', ...withDataDir(host, conf.ipam) },
    })
    const direct = await seenBy((host) => [written(host), asOurs(host, type)])
    t.same(compare(direct, flannel), [], 'as our own plugin with the same configuration')
    const reference = await seenBy((host) => [written(host), asReference(host, type)])
    const results = compare(reference, flannel).filter(({ path }) => path.startsWith('result'))
    t.same(
      results.filter(({ path }) => path !== 'result.dns'),
      [],
      'and the reference’s',
    )
  })

for (const version of ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const)
  t.test(`${version}: every verb, when subnet.env is another, and gone`, (t) =>
    withHost((host) => {
      const extra = asOurs(host, 'flannel')
      const conf = confOf(host, {}, version)
      flanneld(host, { ...v4, ...rest })
      const [one, two] = [host.pod(), host.pod()]
      const left = watchResidue(host, [one.netns, two.netns])
      const result = added(one, conf, extra)
      t.same(addressesOf(result), ['10.77.3.2'])
      t.equal(refusalOf(add(one, conf, extra))?.code, 101, 'a second ADD')
      added(two, conf, extra)
      flanneld(host, { ...v4, ...rest, FLANNEL_SUBNET: '10.77.9.1/24' })
      const hasCheck = version !== '0.3.1'
      if (hasCheck) t.equal(check(one, conf, result, extra).code, 0, 'CHECK, changed')
      rmSync(subnetFile(host))
      if (hasCheck) t.equal(check(one, conf, result, extra).code, 0, 'CHECK, gone')
      one.netns.ip('link', 'set', 'eth0', 'down')
      if (hasCheck) t.equal(refusalOf(check(one, conf, result, extra))?.code, 104, 'link down')
      if (version === '1.1.0') {
        t.equal(refusalOf(ask('STATUS', host, conf, extra))?.code, 50)
        const valid = [{ containerID: one.container, ifname: 'eth0' }]
        const collect = { ...conf, 'cni.dev/valid-attachments': valid }
        t.equal(ask('GC', host, collect, extra).code, 0)
        t.same(leases(host.dataDir).includes('10.77.3.3'), false, 'GC took the other')
        t.ok(leases(host.dataDir).includes('10.77.3.2'), 'and left this one')
        flanneld(host, { ...v4, ...rest })
        t.equal(ask('STATUS', host, conf, extra).code, 0)
        rmSync(subnetFile(host))
      }
      deleted(one, conf, { ...extra, netns: '' })
      for (const pod of [two, one, two]) deleted(pod, conf, extra)
      t.same(left(), [])
      t.equal(existsSync(scratch(host)), false, 'no file of flannel’s own is made')
    }),
  )

t.test('a pod that flannel’s own plugin made', (t) =>
  withHost((host) => {
    const [one, other] = [host.pod(), host.pod()]
    const left = watchResidue(host, [one.netns])
    const kept = {
      cniVersion: '1.0.0',
      name: 'cbr0',
      type: 'bridge',
      isGateway: true,
      ipam: { type: 'host-local', dataDir: host.dataDir, subnet: '10.77.3.0/24' },
    }
    added(one, kept, asReference(host, 'bridge'))
    mkdirSync(scratch(host))
    const empty = host.pod()
    for (const [pod, text] of [
      [one, JSON.stringify(kept)],
      [other, JSON.stringify({ ...kept, name: 'another' })],
      [empty, ''],
    ] as const)
      writeFileSync(join(scratch(host), pod.container), text)
    for (const pod of [one, other, empty]) deleted(pod, confOf(host), asOurs(host, 'flannel'))
    t.same(
      left().filter((line) => line.includes('lease')),
      [],
      'its lease is given back',
    )
    t.notOk(readdirSync(scratch(host)).includes(one.container), 'its file is gone')
    t.ok(readdirSync(scratch(host)).includes(other.container), 'another network’s is not')
    added(one, kept, { ...asReference(host, 'bridge'), ifname: 'eth1' })
    writeFileSync(join(scratch(host), one.container), JSON.stringify(kept))
    const collect = { ...confOf(host, {}, '1.1.0'), 'cni.dev/valid-attachments': [] }
    t.equal(ask('GC', host, collect, asOurs(host, 'flannel')).code, 0)
    t.notOk(readdirSync(scratch(host)).includes(one.container), 'GC too')
  }),
)

type Refused = Readonly<{ why: string; env?: Json; text?: string; keys?: Json; code: number }>
const refused: readonly Refused[] = [
  { why: 'no file', code: 11 },
  { why: 'empty', text: '', code: 7 },
  { why: 'no MTU', env: { ...v4, FLANNEL_IPMASQ: 'true' }, code: 7 },
  { why: 'odd MTU', env: { ...v4, ...rest, FLANNEL_MTU: '1k' }, code: 7 },
  { why: 'no IPMASQ', env: { ...v4, FLANNEL_MTU: '1400' }, code: 7 },
  { why: 'odd subnet', env: { ...v4, ...rest, FLANNEL_SUBNET: '10.77.3.1' }, code: 7 },
  { why: 'half a family', env: { ...rest, FLANNEL_NETWORK: '10.77.0.0/16' }, code: 7 },
  { why: 'a name', env: { ...v4, ...rest }, keys: { delegate: { name: 'x' } }, code: 7 },
  { why: 'an IPAM', env: { ...v4, ...rest }, keys: { delegate: { ipam: {} } }, code: 7 },
  { why: 'itself', env: { ...v4, ...rest }, keys: { delegate: { type: 'flannel' } }, code: 7 },
  { why: 'a path', env: { ...v4, ...rest }, keys: { delegate: { type: '/bin/sh' } }, code: 7 },
  {
    why: 'itself as IPAM',
    env: { ...v4, ...rest },
    keys: { ipam: { type: 'flannel' } },
    code: 7,
  },
  { why: 'nobody', env: { ...v4, ...rest }, keys: { delegate: { type: 'nobody' } }, code: 105 },
]

for (const { why, env, text, keys = {}, code } of refused)
  t.test(`refused: ${why}`, (t) =>
    withHost((host) => {
      if (env) flanneld(host, env as Record<string, string>)
      if (text !== undefined) writeFileSync(subnetFile(host), text)
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const conf = confOf(host, keys)
      const ran = add(pod, conf, asOurs(host, 'flannel'))
      t.equal(refusalOf(ran)?.code, code, ran.stdout)
      if (env === undefined) t.match(refusalOf(ran)?.details, /flanneld writes/)
      deleted(pod, conf, asOurs(host, 'flannel'))
      t.same(left(), [])
    }),
  )

t.test('a subnet file that can’t be read', (t) =>
  withHost((host) => {
    mkdirSync(subnetFile(host))
    const refusal = refusalOf(add(host.pod(), confOf(host), asOurs(host, 'flannel')))
    t.equal(refusal?.code, 5)
    t.match(refusal?.details, /flanneld writes/)
  }),
)

t.test('a delegate that is another program', (t) =>
  withHost((host) => {
    flanneld(host, { ...v4, ...rest })
    const recorder = new Recorder(host)
    const answer = { cniVersion: '1.1.0', ips: [{ address: '10.77.3.9/24' }] }
    recorder.answer('ADD', answer)
    const keys = { delegate: { type: 'recorder', odd: [1] }, runtimeConfig: { mac: 'x' } }
    const conf = confOf(host, keys, '1.1.0')
    const extra: Extra = { plugin: asOurs(host, 'flannel').plugin }
    const pod = host.pod()
    const result = added(pod, conf, extra)
    t.same(result, answer)
    const [asked] = recorder.calls()
    const given = JSON.parse(asked?.stdin ?? '') as Json
    t.match(given, {
      name: 'cbr0',
      type: 'recorder',
      odd: [1],
      ipMasq: false,
      mtu: 1400,
      runtimeConfig: { mac: 'x' },
      ipam: { type: 'host-local', ranges: [[{ subnet: '10.77.3.0/24' }]] },
    })
    t.notOk(Object.hasOwn(given, 'isGateway'), 'that is for bridges')
    rmSync(subnetFile(host))
    t.equal(attach('CHECK', pod, { ...conf, prevResult: result }, extra).code, 0)
    deleted(pod, conf, extra)
    const [checked, removed] = recorder.calls()
    t.same(JSON.parse(checked?.stdin ?? ''), { ...given, prevResult: result })
    t.same(JSON.parse(removed?.stdin ?? ''), given, 'DEL gets what ADD got')
    deleted(pod, conf, extra)
    t.same(recorder.verbs(), [], 'what never was is not deleted by it')
  }),
)

t.test('the chain of flannel’s manifest, with Debian’s portmap behind', (t) =>
  withHost((host) => {
    flanneld(host, { ...v4, ...rest })
    const conf = confOf(host)
    const pod = host.pod()
    const result = added(pod, conf, asOurs(host, 'flannel'))
    const portmap = {
      cniVersion: '1.0.0',
      name: 'cbr0',
      type: 'portmap',
      capabilities: { portMappings: true },
      runtimeConfig: { portMappings: [{ hostPort: 8077, containerPort: 80, protocol: 'tcp' }] },
      prevResult: result,
    }
    const path = folderOf(host, 'portmap', { portmap: `${referenceDirectory}/portmap` })
    const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }
    const behind: Extra = { plugin: `${path}/portmap`, path, env }
    t.same(added(pod, portmap, behind), { ...result, dns: {} }, 'it is content with our result')
    deleted(pod, portmap, behind)
    deleted(pod, { ...conf, prevResult: result }, asOurs(host, 'flannel'))
  }),
)
