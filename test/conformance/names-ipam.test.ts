import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  ask,
  attachLater,
  check,
  del,
  deleted,
  type Extra,
  rangesOf,
  refusalOf,
  type Version,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { asOurs, asReference, folderOf } from '../support/named.ts'
import { reaches } from '../support/reach.ts'
import { referenceDirectory } from '../support/reference.ts'
import { watchResidue } from '../support/residue.ts'
import { executableOf } from '../support/warmth.ts'

t.setTimeout(240_000)

const ipam = (host: Host, version: Version, keys: Json): Json => ({
  cniVersion: version,
  name: 'net',
  type: 'bridge',
  isGateway: true,
  ipam: { type: 'host-local', dataDir: host.dataDir, ...keys },
})

type Row = Readonly<{
  why: string
  name: 'host-local' | 'static'
  ipam: Json
  keys?: Json
  args?: string
  versions?: readonly Version[]
}>
const older: readonly Version[] = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0']
const later: readonly Version[] = ['0.3.1', '1.0.0']
const routes = [{ dst: '0.0.0.0/0' }, { dst: '198.51.100.0/24', gw: '10.77.0.9' }, { dst: '::/0' }]
const one = { address: '10.80.0.5/24', gateway: '10.80.0.1' }
const six = { address: 'fd00:80::5/64', gateway: 'fd00:80::1' }

/** Everything a result of the reference can hold; the words of its refusals are its own. */
const rows: readonly Row[] = [
  { why: 'v4', name: 'host-local', ipam: { ranges: rangesOf('v4') }, versions: older },
  {
    why: 'dual, routes, dns',
    name: 'host-local',
    ipam: { ranges: rangesOf('dual'), routes, resolvConf: '/etc/resolv.conf' },
    versions: older,
  },
  { why: 'inline', name: 'host-local', ipam: { subnet: '10.77.0.0/24', rangeStart: '10.77.0.9' } },
  { why: 'asked', name: 'host-local', ipam: { ranges: rangesOf('v4') }, args: 'IP=10.77.0.44' },
  {
    why: 'asked by the runtime',
    name: 'host-local',
    ipam: { ranges: rangesOf('dual') },
    keys: { runtimeConfig: { ips: ['10.77.0.45/24', 'fd00:77::45'] } },
  },
  {
    why: 'asked by args',
    name: 'host-local',
    ipam: { ranges: rangesOf('v4') },
    keys: { args: { cni: { ips: ['10.77.0.46'] } } },
  },
  {
    why: 'ranges of the runtime',
    name: 'host-local',
    ipam: {},
    keys: { runtimeConfig: { ipRanges: rangesOf('dual') } },
  },
  { why: 'outside', name: 'host-local', ipam: { ranges: rangesOf('v4') }, args: 'IP=10.9.0.1' },
  { why: 'host bits', name: 'host-local', ipam: { subnet: '10.77.0.1/24' } },
  { why: 'no ranges', name: 'host-local', ipam: {} },
  { why: 'v4', name: 'static', ipam: { addresses: [one] }, versions: older },
  {
    why: 'dual, routes, dns',
    name: 'static',
    ipam: { addresses: [one, six], routes, dns: { nameservers: ['10.80.0.53'], search: ['x'] } },
    versions: older,
  },
  { why: 'no gateway', name: 'static', ipam: { addresses: [{ address: '10.80.0.5/24' }] } },
  { why: 'asked', name: 'static', ipam: {}, args: 'IP=10.80.0.7/24,fd00:80::7/64' },
  {
    why: 'asked, with gateways',
    name: 'static',
    ipam: { addresses: [one] },
    args: 'IP=10.81.0.7/24;GATEWAY=10.81.0.254,10.80.0.254',
  },
  {
    why: 'args instead',
    name: 'static',
    ipam: { addresses: [one] },
    keys: { args: { cni: { ips: ['10.82.0.7/24'] } } },
  },
  {
    why: 'the runtime instead',
    name: 'static',
    ipam: { addresses: [one] },
    keys: {
      args: { cni: { ips: ['10.82.0.7/24'] } },
      runtimeConfig: { ips: ['10.83.0.7/24', 'fd00:83::7/64'] },
    },
  },
  { why: 'no prefix', name: 'static', ipam: { addresses: [{ address: '10.80.0.5' }] } },
  { why: 'no prefix asked', name: 'static', ipam: {}, args: 'IP=10.80.0.7' },
  {
    why: 'two of a family',
    name: 'static',
    ipam: { addresses: [one, { address: '10.80.0.6/24' }] },
    versions: ['0.2.0', '0.3.1'],
  },
]

type As = typeof asOurs
type Answer = Json

/** The result with what its absence means: from 1.0.0 on an empty dns is left out. */
const tidy = ({ dns, ...result }: Json): Json =>
  dns === undefined || Object.keys(dns as Json).length === 0 ? result : { ...result, dns }

async function answer(as: As, row: Row, version: Version): Promise<Answer> {
  let said: Answer = {}
  await withHost((host) => {
    const conf = { ...ipam(host, version, { type: row.name, ...row.ipam }), ...row.keys }
    const extra: Extra = {
      ...as(host, row.name),
      ...(row.args === undefined ? {} : { args: row.args }),
    }
    const [pod, next] = [host.pod(), host.pod()]
    const left = watchResidue(host, [pod.netns])
    const ran = add(pod, conf, extra)
    const second = add(next, conf, row.name === 'static' ? extra : as(host, row.name))
    const twice = add(pod, conf, extra).code
    const removed = [pod, pod, next].map((one) => del(one, conf, extra).code)
    const told = ran.code === 0 ? tidy(JSON.parse(ran.stdout) as Json) : 'refused'
    said = { told, next: second.code, twice, removed, left: left() }
  })
  return said
}

/** The reference's DEL refuses what its ADD refused; ours tears down with any configuration. */
const lenient = (said: Answer): Answer => ({ ...said, removed: [0, 0, 0] })

for (const row of rows)
  t.test(`${row.name}: ${row.why}`, async (t) => {
    for (const version of row.versions ?? later) {
      const reference = lenient(await answer(asReference, row, version))
      t.same(await answer(asOurs, row, version), reference, version)
    }
  })

const files = (host: Host): readonly string[] =>
  readdirSync(join(host.dataDir, 'net')).filter((name) => /^[\d:.a-f]+$/.test(name))

/** Ours and Debian's, both on one data directory, at the same time. */
t.test('both host-locals at once', (t) =>
  withHost(async (host) => {
    const conf = ipam(host, '1.0.0', { ranges: [[{ subnet: '10.77.0.0/27' }]] })
    const pods = Array.from({ length: 29 }, () => host.pod())
    const as = (at: number): Extra => (at % 2 ? asOurs : asReference)(host, 'host-local')
    const all = await Promise.all(pods.map((pod, at) => attachLater('ADD', pod, conf, as(at))))
    const got = all.filter(({ code }) => code === 0).map(({ stdout }) => JSON.parse(stdout))
    const addresses = got.flatMap(addressesOf)
    t.equal(addresses.length, 29, all.find(({ code }) => code !== 0)?.stdout ?? 'all have one')
    t.equal(new Set(addresses).size, 29, 'no address twice')
    t.same([...files(host)].sort(), [...addresses].sort(), 'each has its file')
    for (const [name, as] of [
      ['ours', asOurs],
      ['reference', asReference],
    ] as const)
      t.equal(add(host.pod(), conf, as(host, 'host-local')).code, 1, `${name}: none is left`)
    // each gives back what the other has leased
    await Promise.all(pods.map((pod, at) => attachLater('DEL', pod, conf, as(at + 1))))
    t.same(files(host), [], 'none is held')
    const next = added(host.pod(), conf, asOurs(host, 'host-local'))
    t.equal(addressesOf(next).length, 1, 'what Debian’s gave back can be had')
  }),
)

type Mix = Readonly<{ why: string; type: string; extra: (host: Host) => Extra }>
const mixes: readonly Mix[] = [
  {
    why: 'Debian’s bridge, our host-local',
    type: 'host-local',
    extra: (host) => ({
      ...asReference(host, 'bridge'),
      path: folderOf(host, 'mix', { 'host-local': executableOf(host.netns) }),
    }),
  },
  {
    why: 'Debian’s ptp, our static',
    type: 'static',
    extra: (host) => ({
      ...asReference(host, 'ptp'),
      path: folderOf(host, 'mix', { static: executableOf(host.netns) }),
    }),
  },
  {
    why: 'our bridge, Debian’s host-local',
    type: 'debian',
    extra: (host) => ({
      ...asOurs(host, 'bridge'),
      path: folderOf(host, 'mix', { debian: `${referenceDirectory}/host-local` }),
    }),
  },
]

const inside = (pod: Pod): readonly unknown[] =>
  pod.netns
    .ipJson('addr', 'show', 'dev', pod.ifname)
    .flatMap(({ addr_info }) => addr_info as Json[])
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`)

async function mixed(t: Test, { type, extra }: Mix): Promise<void> {
  await withHost((host) => {
    const keys = type === 'static' ? { addresses: [one] } : { subnet: '10.77.0.0/24' }
    const conf = ipam(host, '1.0.0', { type, ...keys })
    const pod = host.pod()
    const left = watchResidue(host, [pod.netns])
    const result = added(pod, conf, extra(host))
    const [address] = result.ips ?? []
    t.ok(inside(pod).includes(address?.address), `${address?.address} is in the pod`)
    t.equal(check(pod, conf, result, extra(host)).code, 0, 'CHECK')
    t.ok(reaches(pod.netns, String(address?.gateway)), 'the gateway answers')
    deleted(pod, { ...conf, prevResult: result }, extra(host))
    const gone = left().filter((line) => !line.includes('cni0'))
    t.same(
      gone.filter((line) => line.includes('lease')),
      [],
      'no lease is left',
    )
  })
}

for (const mix of mixes) t.test(mix.why, (t) => mixed(t, mix))

t.test('host-local: CHECK, GC and STATUS, which the reference lacks', (t) =>
  withHost((host) => {
    const extra = asOurs(host, 'host-local')
    const conf = ipam(host, '1.1.0', { ranges: [[{ subnet: '10.77.0.0/29' }]] })
    const pods = Array.from({ length: 5 }, () => host.pod())
    const results = pods.map((pod) => added(pod, conf, extra))
    const [kept, gone] = pods
    if (!kept || !gone) throw new Error('Cannot be')
    t.equal(check(kept, conf, results[0], extra).code, 0)
    t.equal(refusalOf(ask('STATUS', host, conf, extra))?.code, 50, 'the pool is full')
    t.equal(refusalOf(add(host.pod(), conf, extra))?.code, 102)
    t.equal(refusalOf(ask('GC', host, conf, extra))?.code, 7, 'absent is not empty')
    const valid = [{ containerID: kept.container, ifname: kept.ifname }]
    const collect = { ...conf, 'cni.dev/valid-attachments': valid }
    t.equal(ask('GC', host, collect, extra).code, 0)
    t.same(files(host), addressesOf(results[0] ?? {}), 'one file is left')
    t.equal(ask('STATUS', host, conf, extra).code, 0)
    t.equal(refusalOf(check(gone, conf, results[1], extra))?.code, 104)
    deleted(kept, conf, extra)
    t.same(files(host), [])
  }),
)

/** What the reference made before the change of executables, torn down by ours at once. */
t.test('host-local: DEL and CHECK of a lease that the reference wrote', (t) =>
  withHost((host) => {
    const conf = ipam(host, '1.0.0', { ranges: rangesOf('dual') })
    const [one, two] = [host.pod(), host.pod()]
    const result = added(one, conf, asReference(host, 'host-local'))
    added(two, conf, asReference(host, 'host-local'))
    t.equal(check(one, conf, result, asOurs(host, 'host-local')).code, 0)
    deleted(one, conf, asOurs(host, 'host-local'))
    t.equal(files(host).length, 2, 'the other’s stay')
    t.equal(refusalOf(check(one, conf, result, asOurs(host, 'host-local')))?.code, 104)
  }),
)

t.test('a failed ADD leaves no file', (t) =>
  withHost((host) => {
    const conf = { ...ipam(host, '1.0.0', { ranges: rangesOf('v4'), routes: [{ dst: 'x' }] }) }
    for (const name of ['bridge', 'host-local'] as const) {
      const ran = add(host.pod(), conf, asOurs(host, name))
      t.equal(refusalOf(ran)?.code, 7, `${name}: ${ran.stdout}`)
    }
    const good = ipam(host, '1.0.0', { ranges: rangesOf('v4') })
    host.netns.ip('link', 'add', 'cni0', 'type', 'veth', 'peer', 'name', 'other')
    t.equal(refusalOf(add(host.pod(), good, asOurs(host, 'bridge')))?.code, 106)
    t.same(files(host), [])
  }),
)

t.test('built in: static under tulle, bridge and ptp, without an executable', (t) =>
  withHost((host) => {
    for (const name of ['bridge', 'ptp', 'tulle'] as const) {
      const conf = {
        ...ipam(host, '1.1.0', { type: 'static', addresses: [one, six] }),
        ...(name === 'tulle' ? { type: 'tulle', mode: 'routed', dataDir: host.dataDir } : {}),
        dataDir: host.dataDir,
      }
      const extra = name === 'tulle' ? {} : { ...asOurs(host, name), path: '/nowhere' }
      const pod = host.pod()
      const left = watchResidue(host, [pod.netns])
      const result = added(pod, conf, extra)
      t.same(addressesOf(result), ['10.80.0.5', 'fd00:80::5'], name)
      t.equal(check(pod, conf, result, extra).code, 0, name)
      t.equal(ask('STATUS', host, conf, extra).code, 0, name)
      deleted(pod, conf, extra)
      t.same(left(), [], name)
    }
  }),
)

/** A "node" that is a container, started again: another namespace, the same boot. */
t.test('leases of another life of the node are given back, files and all', async (t) => {
  await withHost(async (before) => {
    const conf = ipam(before, '1.0.0', { ranges: [[{ subnet: '10.77.0.0/29' }]] })
    const theirs = addressesOf(added(before.pod(), conf, asReference(before, 'host-local')))
    const pods = Array.from({ length: 4 }, () => before.pod())
    for (const pod of pods) added(pod, conf, asOurs(before, 'host-local'))
    t.equal(files(before).length, 5)
    await withHost((after) => {
      const first = addressesOf(added(after.pod(), conf, asOurs(after, 'host-local')))
      t.same([...files(before)].sort(), [...theirs, ...first].sort(), 'only what is not ours stays')
    })
  })
})
