import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  added,
  deleted,
  type Families,
  modes,
  netconf,
  type Result,
  type Version,
} from '../support/attachment.ts'
import { type Json, versions } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { resultFaults } from '../support/shape.ts'

t.setTimeout(240_000)

type Shown = Readonly<Record<string, unknown>>
const routesOf = (pod: Pod): readonly Shown[] => [
  ...pod.netns.ipJson('-4', 'route', 'show', 'table', 'all'),
  ...pod.netns.ipJson('-6', 'route', 'show', 'table', 'all'),
]

/** Routes of the configuration, and how `ip` shows them in the pod. */
const routes: readonly Readonly<{ why: string; route: Json; shown: Shown }>[] = [
  {
    why: 'without gw, the range’s gateway is the next hop',
    route: { dst: '198.51.100.0/24' },
    shown: { dst: '198.51.100.0/24', gateway: '10.77.0.1' },
  },
  {
    why: 'gw',
    route: { dst: '203.0.113.0/24', gw: '10.77.0.1' },
    shown: { dst: '203.0.113.0/24', gateway: '10.77.0.1' },
  },
  {
    why: 'mtu and advmss',
    route: { dst: '10.8.0.0/16', mtu: 1300, advmss: 1200 },
    shown: { dst: '10.8.0.0/16', metrics: [{ mtu: 1300, advmss: 1200 }] },
  },
  {
    why: 'priority',
    route: { dst: '10.9.0.0/16', priority: 77 },
    shown: { dst: '10.9.0.0/16', metric: 77 },
  },
  {
    why: 'table',
    route: { dst: '10.10.0.0/16', table: 1000 },
    shown: { dst: '10.10.0.0/16', table: '1000' },
  },
  {
    why: 'scope link, so without a next hop',
    route: { dst: '10.11.0.0/16', scope: 253 },
    shown: { dst: '10.11.0.0/16', scope: 'link' },
  },
  {
    why: 'IPv6 without gw',
    route: { dst: '2001:db8:5::/48' },
    shown: { dst: '2001:db8:5::/48', gateway: 'fd00:77::1' },
  },
  {
    why: 'IPv6 with all of it',
    route: { dst: '2001:db8:6::/48', gw: 'fd00:77::1', mtu: 1400, priority: 7, table: 1001 },
    shown: { dst: '2001:db8:6::/48', gateway: 'fd00:77::1', metric: 7, table: '1001' },
  },
  {
    why: 'IPv4 default',
    route: { dst: '0.0.0.0/0' },
    shown: { dst: 'default', gateway: '10.77.0.1' },
  },
  { why: 'IPv6 default', route: { dst: '::/0' }, shown: { dst: 'default', gateway: 'fd00:77::1' } },
]

/** True if each key of `wanted` is in `shown` with that value; lists are compared as text. */
const matches = (shown: Shown, wanted: Shown): boolean =>
  Object.entries(wanted).every(
    ([key, value]) => JSON.stringify(shown[key]) === JSON.stringify(value),
  )

for (const mode of modes) {
  t.test(`${mode}: routes of the configuration`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const wished = routes.map(({ route }) => route)
      const conf = netconf(host, { mode, families: 'dual', ipam: { routes: wished } })
      const result = added(pod, conf)
      t.same(resultFaults(result, '1.1.0'), [])
      const there = routesOf(pod)
      for (const { why, route, shown } of routes) {
        t.ok(
          there.some((one) => matches(one, shown)),
          `${why}: ${JSON.stringify(shown)}`,
        )
        const told = result.routes?.find(({ dst }) => dst === route.dst)
        t.match(told, route, `${why}: the result tells it`)
      }
      deleted(pod, conf)
    }),
  )

  t.test(`${mode}: no routes configured`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = netconf(host, { mode, families: 'dual' })
      added(pod, conf)
      const defaults = routesOf(pod).filter(({ dst }) => dst === 'default')
      t.equal(defaults.length, mode === 'routed' ? 2 : 0, 'routed gives a default, bridge none')
      deleted(pod, conf)
    }),
  )
}

type DnsRow = Readonly<{ why: string; dns?: Json; resolv?: string; wanted: Json | undefined }>
const dnsRows: readonly DnsRow[] = [
  { why: 'none', wanted: undefined },
  {
    why: 'of the configuration',
    dns: { nameservers: ['10.0.0.53'], domain: 'x.test', search: ['a', 'b'], options: ['ndots:5'] },
    wanted: {
      nameservers: ['10.0.0.53'],
      domain: 'x.test',
      search: ['a', 'b'],
      options: ['ndots:5'],
    },
  },
  {
    why: 'of resolvConf, with comments, tabs and odd lines',
    resolv:
      '# c\n; c\nnameserver\t10.0.0.54\nnameserver fd00::53\n\ndomain y.test\nsearch c  d\n' +
      'options ndots:2 rotate\nsortlist 1.2.3.4\nnameserver\n',
    wanted: {
      nameservers: ['10.0.0.54', 'fd00::53'],
      domain: 'y.test',
      search: ['c', 'd'],
      options: ['ndots:2', 'rotate'],
    },
  },
  { why: 'of an empty resolvConf', resolv: '', wanted: undefined },
]

function expectDns(t: Test, host: Host, version: Version, row: DnsRow): void {
  const file = join(host.directory, 'resolv.conf')
  if (row.resolv !== undefined) writeFileSync(file, row.resolv)
  const conf = netconf(host, {
    mode: 'routed',
    version,
    keys: row.dns === undefined ? {} : { dns: row.dns },
    ipam: row.resolv === undefined ? {} : { resolvConf: file },
  })
  const pod = host.pod()
  const result = added(pod, conf)
  t.same(resultFaults(result, version), [], `${version} ${row.why}`)
  const told = Object.keys(result.dns ?? {}).length === 0 ? undefined : result.dns
  t.same(told, row.wanted, `${version} ${row.why}`)
  deleted(pod, conf)
}

t.test('dns, in every version', (t) =>
  withHost((host) => {
    for (const version of versions satisfies readonly Version[]) {
      for (const row of dnsRows) expectDns(t, host, version, row)
    }
  }),
)

type MtuRow = Readonly<{
  why: string
  uplinkMtu: number
  families?: Families
  keys?: Json
  wanted: number
}>
const mtus: readonly MtuRow[] = [
  { why: 'automatic, from the uplink', uplinkMtu: 1400, wanted: 1400 },
  { why: 'zero is automatic', uplinkMtu: 1450, keys: { mtu: 0 }, wanted: 1450 },
  { why: 'set, smaller', uplinkMtu: 1500, keys: { mtu: 1300 }, wanted: 1300 },
  {
    why: 'set, below what IPv6 needs',
    uplinkMtu: 1500,
    families: 'v4',
    keys: { mtu: 576 },
    wanted: 576,
  },
  {
    why: 'automatic, below what IPv6 needs',
    uplinkMtu: 1000,
    families: 'v4',
    wanted: 1000,
  },
  { why: 'set, larger', uplinkMtu: 1500, keys: { mtu: 9000 }, wanted: 9000 },
]

const mtusOf = (pod: Pod, result: Result): readonly unknown[] =>
  (result.interfaces ?? []).map(({ name, sandbox }) => {
    const netns = sandbox === undefined ? pod.host.netns : pod.netns
    return netns.ipJson('link', 'show', name)[0]?.mtu
  })

for (const mode of modes) {
  t.test(`${mode}: MTU`, async (t) => {
    for (const { why, uplinkMtu, families, keys, wanted } of mtus) {
      await withHost(
        (host) => {
          const pod = host.pod()
          const conf = netconf(host, { mode, families: families ?? 'dual', keys: keys ?? {} })
          const result = added(pod, conf)
          t.ok(
            result.interfaces?.every(({ mtu }) => mtu === wanted),
            `${why}: in the result`,
          )
          t.same(
            mtusOf(pod, result),
            result.interfaces?.map(() => wanted),
            `${why}: on the links`,
          )
          deleted(pod, conf)
        },
        { uplinkMtu },
      )
    }
    await withHost((host) => {
      host.netns.ip('route', 'del', 'default')
      host.netns.ip('-6', 'route', 'del', 'default')
      const pod = host.pod()
      const result = added(pod, netconf(host, { mode }))
      t.same(
        mtusOf(pod, result),
        result.interfaces?.map(() => 1500),
        'no default route: 1500',
      )
    })
  })
}
