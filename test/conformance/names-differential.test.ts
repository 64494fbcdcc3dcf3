import t, { type Test } from 'tap'
import {
  added,
  addressesOf,
  check,
  deleted,
  type Families,
  families,
  type Result,
  rangesOf,
  type Version,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import { asOurs, asReference } from '../support/named.ts'
import type { Netns } from '../support/netns.ts'
import { reaches } from '../support/reach.ts'
import { watchResidue } from '../support/residue.ts'
import { compare, type Difference, lookAt, type Seen } from '../support/seen.ts'

t.setTimeout(240_000)

type Making = 'bridge' | 'ptp'
type Wanted = Readonly<{
  names: readonly Making[]
  field: RegExp
  ours: RegExp
  reason: string
}>
const both = ['bridge', 'ptp'] as const

/** Every way in which a name of ours differs from the reference; anything else is a fault. */
const wanted: readonly Wanted[] = [
  {
    names: both,
    field: /^result\.dns$/,
    ours: /^absent$/,
    reason: 'empty dns is left out from 1.0.0 on, as libcni 1.2 does',
  },
  {
    names: both,
    field: /\.ifalias$/,
    ours: /^"tulle1 /,
    reason: 'our links carry our mark, by which GC and a lost store find them',
  },
  {
    names: both,
    field: /\.routes\[.*\]\.protocol$/,
    ours: /^"116"$/,
    reason: 'our routes carry our protocol number',
  },
  {
    names: both,
    field: /\.addresses\[.*\]\.nodad$/,
    ours: /^true$/,
    reason: 'IPAM sees to it that an address is free: no second is spent on detection',
  },
  {
    names: both,
    field: /\.addresses\[.*\]\.broadcast$/,
    ours: /^absent$/,
    reason: 'as "ip addr add" does it: the kernel knows the broadcast address of a prefix',
  },
  {
    names: ['bridge'],
    field: /^result\.interfaces\[0\]\.mac$/,
    ours: /^"BRIDGE-MAC"$/,
    reason: 'a bridge without gateway keeps its MAC too; the reference’s takes one of its ports’',
  },
  {
    names: ['ptp'],
    field: /\.addresses\[.*\]\.noprefixroute$/,
    ours: /^true$/,
    reason: 'the routes that are wanted are written, not derived and then deleted again',
  },
  {
    names: ['ptp'],
    field: /^host\.routes\[-6 fd00:77::1\]\./,
    ours: /^absent$/,
    reason: 'the same: no prefix route for the gateway’s own address on the host end',
  },
  {
    names: ['ptp'],
    field: /^pod\.routes\[.*\]\.prefsrc$/,
    ours: /^absent$/,
    reason: 'the link has one address a family: there is nothing to choose',
  },
  {
    names: ['ptp'],
    field: /^host\.routes\[-4 .*\]\.scope$/,
    ours: /^"link"$/,
    reason: 'the pod is on the other end of a link; scope host is for addresses of this machine',
  },
  {
    names: ['ptp'],
    field: /^pod\.routes\[.*\]\.flags$/,
    ours: /^\["onlink"\]$/,
    reason: 'the gateway is reachable by declaration, whatever routes come and go',
  },
  {
    names: ['ptp'],
    field: /\.neighbours\[.*\]\.(lladdr|state)$/,
    ours: /^("(POD|VETH)-MAC"|\["PERMANENT"\])$/,
    reason: 'both ends know each other for good: no ARP, no neighbour discovery, nobody to spoof',
  },
]

type Case = Readonly<{
  why: string
  name?: Making
  version?: Version
  keys?: Json
  ipam?: Json
  routes?: Json[]
}>
const cases: readonly Case[] = [
  { why: '1.0.0' },
  { why: '0.4.0', version: '0.4.0' },
  { why: '0.3.1', version: '0.3.1' },
  { why: '0.2.0', version: '0.2.0' },
  { why: 'no version', version: '' as Version },
  { why: 'MTU set', keys: { mtu: 1300 } },
  { why: 'dns set', keys: { dns: { nameservers: ['10.0.0.53'], search: ['x'] } } },
  { why: 'no routes', routes: [] },
  { why: 'hairpin', name: 'bridge', keys: { hairpinMode: true } },
  { why: 'promisc', name: 'bridge', keys: { promiscMode: true } },
  { why: 'no gateway', name: 'bridge', keys: { isGateway: false }, routes: [] },
  { why: 'default gateway', name: 'bridge', keys: { isDefaultGateway: true }, routes: [] },
  { why: 'keys in capitals', keys: { MTU: 1400 } },
  {
    why: 'what podman writes',
    name: 'bridge',
    version: '0.4.0',
    keys: { ipMasq: true, hairpinMode: true, isGateway: true, capabilities: { ips: true } },
  },
]

const defaults = (of: Families): readonly Json[] => [
  ...(of === 'v6' ? [] : [{ dst: '0.0.0.0/0' }, { dst: '198.51.100.0/24', gw: '10.77.0.1' }]),
  ...(of === 'v4' ? [] : [{ dst: '::/0' }, { dst: '2001:db8:5::/48', gw: 'fd00:77::1' }]),
]

function confOf(host: Host, name: Making, of: Families, row: Case): Json {
  return {
    cniVersion: row.version ?? '1.0.0',
    name: 'net',
    type: name,
    ...(name === 'bridge' ? { isGateway: true } : {}),
    ipam: {
      type: 'host-local',
      dataDir: host.dataDir,
      ranges: rangesOf(of),
      routes: row.routes ?? defaults(of),
      ...row.ipam,
    },
    ...row.keys,
  }
}

/** Who can reach whom, one line each. The reference’s IPv6 gateway is there a second late. */
function reached(one: Pod, two: Pod, results: readonly Result[]): readonly string[] {
  const { host } = one
  return results.slice(0, 1).flatMap((result, at) =>
    addressesOf(result).flatMap((own, family) => {
      const other = addressesOf(results[at + 1] ?? {})[family] ?? ''
      const node = own.includes(':') ? uplink.node.v6 : uplink.node.v4
      const yes = (what: string, from: Netns, to: string): string =>
        `${what}${own.includes(':') ? 6 : 4}: ${reaches(from, to)}`
      return [
        yes('host to pod ', host.netns, own),
        yes('pod to pod ', one.netns, other),
        yes('pod to uplink ', one.netns, node),
        yes('pod to itself ', two.netns, other),
      ]
    }),
  )
}

type Lived = Readonly<{ seen: Seen; reached: readonly string[]; left: readonly string[] }>

async function live(as: typeof asOurs, name: Making, of: Families, row: Case): Promise<Lived> {
  let lived: Lived = { seen: new Map(), reached: [], left: [] }
  await withHost((host) => {
    const conf = confOf(host, name, of, row)
    const [one, two] = [host.pod(), host.pod()]
    const left = watchResidue(host, [one.netns, two.netns])
    const first = added(one, conf, as(host, name))
    const seen = lookAt(one, first)
    const second = added(two, conf, as(host, name))
    const ping = reached(one, two, [first, second])
    for (const pod of [one, two]) deleted(pod, conf, as(host, name))
    lived = { seen, reached: ping, left: left() }
  })
  return lived
}

const met = new Set<Wanted>()

function unlisted(name: Making, found: readonly Difference[]): readonly Difference[] {
  return found.filter(({ path, ours }) => {
    const entry = wanted.find(
      (one) => one.names.includes(name) && one.field.test(path) && one.ours.test(ours),
    )
    if (entry) met.add(entry)
    return entry === undefined
  })
}

async function expectSame(t: Test, name: Making, of: Families, row: Case): Promise<void> {
  const reference = await live(asReference, name, of, row)
  const ours = await live(asOurs, name, of, row)
  t.ok(reference.seen.size > 30, `${reference.seen.size} facts`)
  t.same(unlisted(name, compare(reference.seen, ours.seen)), [], 'differs as listed')
  t.same(ours.reached, reference.reached, 'who reaches whom')
  t.same(ours.left, [], 'nothing is left after DEL')
}

for (const name of both)
  for (const row of cases.filter((one) => one.name === undefined || one.name === name))
    for (const of of row.why === '1.0.0' ? families : (['dual'] as const))
      t.test(`${name} ${of}, ${row.why}`, (t) => expectSame(t, name, of, row))

t.test('every listed difference is still one', async (t) => {
  t.same(
    wanted.filter((one) => !met.has(one)).map(({ field, reason }) => `${field}: ${reason}`),
    [],
  )
})

t.test('CHECK and the newest version', (t) =>
  withHost((host) => {
    for (const name of both)
      for (const version of ['0.4.0', '1.0.0', '1.1.0'] as const) {
        const conf = confOf(host, name, 'dual', { why: version, version })
        const pod = host.pod()
        const result = added(pod, conf, asOurs(host, name))
        t.equal(check(pod, conf, result, asOurs(host, name)).code, 0, `${name} ${version}`)
        pod.netns.ip('link', 'set', pod.ifname, 'down')
        const checked = check(pod, conf, result, asOurs(host, name))
        t.equal(JSON.parse(checked.stdout).code, 104, `${name} ${version}: link down`)
        deleted(pod, conf, asOurs(host, name))
      }
  }),
)
