import t, { type Test } from 'tap'
import {
  added,
  type Families,
  families,
  type Mode,
  modes,
  netconf,
  type Result,
  type Version,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { referenceAdded } from '../support/reference.ts'
import { compare, type Difference, lookAt, type Seen } from '../support/seen.ts'

t.setTimeout(240_000)

type Wanted = Readonly<{ modes: readonly Mode[]; field: RegExp; ours: RegExp; reason: string }>

/** Every way in which we want to differ from the reference; anything else is a fault. */
const wanted: readonly Wanted[] = [
  {
    modes,
    field: /^result\.dns$/,
    ours: /^absent$/,
    reason: 'empty dns is left out from 1.0.0 on, as libcni 1.2 does',
  },
  {
    modes,
    field: /\.ifalias$/,
    ours: /^"tulle1 /,
    reason: 'our links carry our mark, by which GC and a lost store find them',
  },
  {
    modes,
    field: /\.routes\[.*\]\.protocol$/,
    ours: /^"116"$/,
    reason: 'our routes carry our protocol number',
  },
  {
    modes,
    field: /\.addresses\[.*\]\.nodad$/,
    ours: /^true$/,
    reason: 'IPAM sees to it that an address is free: no second is spent on detection',
  },
  {
    modes: ['bridge'],
    field: /\.addresses\[.*\]\.broadcast$/,
    ours: /^absent$/,
    reason: 'as "ip addr add" does it: the kernel knows the broadcast address of a prefix',
  },
  {
    modes: ['bridge'],
    field: /^result\.interfaces\[0\]\.mac$/,
    ours: /^"BRIDGE-MAC"$/,
    reason: 'a bridge without gateway keeps its MAC too; the reference’s takes one of its ports’',
  },
  {
    modes: ['routed'],
    field: /^result\.(ips\[\d\]\.address|ip[46]\.ip)$/,
    ours: /\/(32|128)"$/,
    reason: 'a routed pod has no neighbours: its prefix is its address alone',
  },
  {
    modes: ['routed'],
    field: /^pod\.link\.addresses\[.*\]\.prefixlen$/,
    ours: /^(32|128)$/,
    reason: 'the same, on the link',
  },
  {
    modes: ['routed'],
    field: /^pod\.link\.addresses\[.*\]\.broadcast$/,
    ours: /^absent$/,
    reason: 'a /32 has no broadcast address',
  },
  {
    modes: ['routed'],
    field: /\.addresses\[.*\]\.noprefixroute$/,
    ours: /^true$/,
    reason: 'the routes that are wanted are written, not derived and then deleted again',
  },
  {
    modes: ['routed'],
    field: /^host\.routes\[-6 fd00:77::1\]\./,
    ours: /^absent$/,
    reason: 'the same: no prefix route for the gateway’s own address on the host end',
  },
  {
    modes: ['routed'],
    field: /^pod\.routes\[.*\]\.prefsrc$/,
    ours: /^absent$/,
    reason: 'the link has one address a family: there is nothing to choose',
  },
  {
    modes: ['routed'],
    field: /^host\.routes\[-4 .*\]\.scope$/,
    ours: /^"link"$/,
    reason: 'the pod is on the other end of a link; scope host is for addresses of this machine',
  },
  {
    modes: ['routed'],
    field: /^pod\.routes\[.*\]\.flags$/,
    ours: /^\["onlink"\]$/,
    reason: 'the gateway is reachable by declaration, whatever routes come and go',
  },
  {
    modes: ['routed'],
    field: /\.neighbours\[.*\]\.(lladdr|state)$/,
    ours: /^("(POD|VETH)-MAC"|\["PERMANENT"\])$/,
    reason: 'both ends know each other for good: no ARP, no neighbour discovery, nobody to spoof',
  },
]

type Case = Readonly<{ why: string; version: Version; mode?: Mode; keys?: Json; routes?: Json[] }>
const cases: readonly Case[] = [
  { why: '1.0.0', version: '1.0.0' },
  { why: '0.4.0', version: '0.4.0' },
  { why: '0.2.0', version: '0.2.0' },
  { why: 'MTU set', version: '1.0.0', keys: { mtu: 1300 } },
  {
    why: 'dns set',
    version: '1.0.0',
    keys: { dns: { nameservers: ['10.0.0.53'], search: ['x'] } },
  },
  { why: 'hairpin', version: '1.0.0', mode: 'bridge', keys: { hairpinMode: true } },
  { why: 'promisc', version: '1.0.0', mode: 'bridge', keys: { promiscMode: true } },
  {
    why: 'default gateway',
    version: '1.0.0',
    mode: 'bridge',
    keys: { isDefaultGateway: true },
    routes: [],
  },
  { why: 'no gateway', version: '1.0.0', mode: 'bridge', keys: { isGateway: false }, routes: [] },
]

const defaults = (of: Families): readonly Json[] => [
  ...(of === 'v6' ? [] : [{ dst: '0.0.0.0/0' }, { dst: '198.51.100.0/24', gw: '10.77.0.1' }]),
  ...(of === 'v4' ? [] : [{ dst: '::/0' }, { dst: '2001:db8:5::/48', gw: 'fd00:77::1' }]),
]

type Attach = (pod: Pod, conf: Json) => Result

async function seenBy(attach: Attach, confOf: (host: Host) => Json): Promise<Seen> {
  let seen: Seen = new Map()
  await withHost((host) => {
    const pod = host.pod()
    seen = lookAt(pod, attach(pod, confOf(host)))
  })
  return seen
}

const met = new Set<Wanted>()

function unlisted(mode: Mode, found: readonly Difference[]): readonly Difference[] {
  return found.filter(({ path, ours }) => {
    const entry = wanted.find(
      (one) => one.modes.includes(mode) && one.field.test(path) && one.ours.test(ours),
    )
    if (entry) met.add(entry)
    return entry === undefined
  })
}

async function expectSame(t: Test, mode: Mode, of: Families, row: Case): Promise<void> {
  const confOf = (host: Host): Json =>
    netconf(host, {
      mode,
      families: of,
      version: row.version,
      keys: row.keys ?? {},
      ipam: { routes: row.routes ?? defaults(of) },
    })
  const reference = await seenBy((pod, conf) => referenceAdded(mode, pod, conf), confOf)
  const ours = await seenBy(added, confOf)
  t.ok(reference.size > 30, `${reference.size} facts`)
  t.same(unlisted(mode, compare(reference, ours)), [], 'nothing differs but what is listed')
}

for (const mode of modes) {
  for (const row of cases.filter((one) => one.mode === undefined || one.mode === mode)) {
    for (const of of families) {
      t.test(`${mode} ${of}, ${row.why}`, (t) => expectSame(t, mode, of, row))
    }
  }
}

t.test('every listed difference is still one', async (t) => {
  t.same(
    wanted.filter((one) => !met.has(one)).map(({ field, reason }) => `${field}: ${reason}`),
    [],
  )
})
