import { rmSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  add,
  added,
  addedLater,
  addressesOf,
  ask,
  check,
  deleted,
  refusalOf,
} from '../support/attachment.ts'
import { addHost, type ClusterHost, type Member, overlayConf } from '../support/cluster-host.ts'
import type { Json } from '../support/cni.ts'
import type { Pod } from '../support/host.ts'
import { watchResidue } from '../support/residue.ts'
import { type Underlay, withUnderlay } from '../support/underlay.ts'

t.setTimeout(240_000)

const members: readonly Member[] = [
  { name: 'a', addresses: ['10.0.0.1', 'fd00:0::1'], podCIDRs: ['10.1.1.0/24', 'fd01:1::/64'] },
  { name: 'b', addresses: ['10.0.0.2', 'fd00:0::2'], podCIDRs: ['10.1.2.0/24', 'fd01:2::/64'] },
  {
    name: 'c',
    addresses: ['10.1.0.3', 'fd00:1::3'],
    podCIDRs: ['10.2.3.0/24', 'fd01:3::/64'],
    segment: 'far',
  },
]

/** Lends the hosts of these members, and removes them whatever happens. */
async function withHosts(
  wanted: readonly Member[],
  use: (hosts: readonly ClusterHost[], underlay: Underlay) => void | Promise<void>,
): Promise<void> {
  const hosts: ClusterHost[] = []
  await withUnderlay(async (underlay) => {
    try {
      for (const member of wanted) hosts.push(addHost(underlay, member))
      await use(hosts, underlay)
    } finally {
      for (const { host } of hosts) host.close()
    }
  })
}

type Placed = { readonly name: string; readonly pod: Pod; readonly addresses: readonly string[] }

function place(one: ClusterHost, conf: Json): Placed {
  const pod = one.host.pod()
  return { name: one.member.name, pod, addresses: addressesOf(added(pod, conf)) }
}

const pings = (from: Pod, to: string, ...words: readonly string[]): boolean =>
  from.netns.exec(['ping', '-n', '-c', '1', '-W', '3', ...words, to]).code === 0

function allReach(t: Test, pods: readonly Placed[]): void {
  for (const from of pods)
    for (const to of pods)
      if (from !== to)
        for (const address of to.addresses)
          t.ok(pings(from.pod, address), `${from.name} → ${to.name}, ${address}`)
}

const routesOf = ({ host }: ClusterHost): readonly string[] =>
  [...host.netns.ipJson('-4', 'route'), ...host.netns.ipJson('-6', 'route')]
    .filter(({ protocol, gateway }) => protocol === '116' && gateway !== undefined)
    .map(({ dst, dev }) => `${dst} ${dev}`)

for (const mode of ['routed', 'bridge'] as const)
  t.test(`pods of three nodes reach each other, ${mode}`, (t) =>
    withHosts(members, (hosts) => {
      const left = hosts.map(({ host }) => watchResidue(host, []))
      const confs = hosts.map((one) =>
        overlayConf(one, members, {
          mode,
          keys: { ipMasq: true, ...(mode === 'bridge' ? { isDefaultGateway: true } : {}) },
        }),
      )
      const pods = hosts.map((one, at) => place(one, confs[at] ?? {}))
      const [a, b, c] = hosts
      if (!a || !b || !c) throw new Error('three hosts')
      t.match(
        pods.map(({ addresses }) => addresses.map((text) => text.replace(/[^.:]+$/, ''))),
        [
          ['10.1.1.', 'fd01:1::'],
          ['10.1.2.', 'fd01:2::'],
          ['10.2.3.', 'fd01:3::'],
        ],
        'ranges follow from the list',
      )
      t.strictSame([...routesOf(a)].sort(), [
        '10.1.2.0/24 eth0',
        '10.2.3.0/24 tulle.1',
        'fd01:2::/64 eth0',
        'fd01:3::/64 tulle-v6.1',
      ])
      allReach(t, pods)
      const mtu = pods.map(({ pod }) => pod.netns.ipJson('link', 'show', 'eth0')[0]?.mtu)
      t.strictSame(mtu, [1430, 1430, 1430], 'what fits through the IPv6 tunnel')
      for (const one of pods) deleted(one.pod, confs[pods.indexOf(one)] ?? {})
      t.strictSame(
        left.flatMap((of) => of()),
        [],
        'the last DEL leaves nothing',
      )
    }),
  )

t.test('pods keep their addresses inside the cluster, and are masqueraded outside', (t) =>
  withHosts(members, (hosts) => {
    const pods = hosts.map((one) => place(one, overlayConf(one, members)))
    const [from] = pods
    for (const to of pods.slice(1)) {
      // who is asked knows a way back to pods alone, not to their nodes
      const gateways = { 4: '', 6: '' }
      for (const family of [4, 6] as const) {
        const [found] = to.pod.netns.ipJson(`-${family}`, 'route', 'show', 'default')
        gateways[family] = `${found?.gateway}`
        const pods = family === 4 ? '10.1.1.0/24' : 'fd01:1::/64'
        const via = ['via', gateways[family], 'dev', 'eth0', 'onlink']
        to.pod.netns.ip(`-${family}`, 'route', 'add', pods, ...via)
        to.pod.netns.ip(`-${family}`, 'route', 'del', 'default')
      }
      for (const address of to.addresses)
        t.ok(from && pings(from.pod, address), `${to.name}, ${address} sees the pod's address`)
    }
    const outside = '10.0.0.254'
    t.ok(from && pings(from.pod, outside), 'the router knows no way to pods')
  }),
)

t.test('a second pod changes nothing, a table that is lost comes back whole', (t) =>
  withHosts(members.slice(0, 2), (hosts) => {
    const [a, b] = hosts
    if (!a || !b) throw new Error('two hosts')
    const conf = overlayConf(a, members.slice(0, 2), { overlay: { mode: 'vxlan' } })
    place(b, overlayConf(b, members.slice(0, 2), { overlay: { mode: 'vxlan' } }))
    const first = place(a, conf)
    const sets = (): string =>
      a.host.netns.exec(['nft', 'list', 'set', 'inet', 'tulle', 'cluster4']).stdout
    const before = [routesOf(a), sets()]
    const ran = add(a.host.pod(), conf)
    t.equal(ran.code, 0)
    t.notMatch(ran.stderr, /tulle\.1/, 'not a word of the overlay')
    t.strictSame([routesOf(a), sets()], before)
    t.match(sets(), /10\.1\.1\.0-10\.1\.2\.255/)
    a.host.netns.exec(['nft', 'delete', 'table', 'inet', 'tulle'])
    place(a, conf)
    t.equal(sets(), before[1])
    t.ok(pings(first.pod, '10.0.0.2'))
  }),
)

t.test('a node that leaves the list is swept, one that joins is reached', (t) =>
  withHosts(members, (hosts) => {
    const [a, , c] = hosts
    if (!a || !c) throw new Error('three hosts')
    const pods = hosts.map((one) => place(one, overlayConf(one, members)))
    const fewer = members.slice(0, 2)
    place(a, overlayConf(a, fewer))
    t.strictSame([...routesOf(a)].sort(), ['10.1.2.0/24 eth0', 'fd01:2::/64 eth0'])
    const fdb = a.host.netns.exec(['bridge', 'fdb', 'show', 'dev', 'tulle.1']).stdout
    t.equal(fdb.trim(), '')
    place(a, overlayConf(a, members))
    allReach(t, pods)
  }),
)

t.test('CHECK tells what somebody took away, the next ADD puts it back', (t) =>
  withHosts(members, (hosts) => {
    const [a] = hosts
    if (!a) throw new Error('a host')
    const conf = overlayConf(a, members)
    const pod = a.host.pod()
    const result = added(pod, conf)
    t.equal(check(pod, conf, result).code, 0, 'all is well at first')
    for (const { why, harm, pattern } of [
      {
        why: 'a route',
        harm: 'route del 10.2.3.0/24',
        pattern: /route 10\.2\.3\.0\/24 .* missing/,
      },
      {
        why: 'a direct route',
        harm: '-6 route del fd01:2::/64',
        pattern: /route fd01:2::\/64 via fd00::2 dev eth0 is missing/,
      },
      {
        why: 'a neighbour',
        harm: 'neigh flush dev tulle.1 nud permanent',
        pattern: /neighbour 10/,
      },
      { why: 'the device', harm: 'link del tulle.1', pattern: /there is no tulle\.1/ },
      {
        why: 'its MTU',
        harm: 'link set tulle.1 mtu 1300',
        pattern: /the MTU of tulle\.1 was 1300/,
      },
    ]) {
      a.host.netns.ip(...harm.split(' '))
      const refusal = refusalOf(check(pod, conf, result))
      t.equal(refusal?.code, 104, why)
      t.match(refusal?.details, pattern)
      added(a.host.pod(), conf)
      t.equal(check(pod, conf, result).code, 0, `${why} is back`)
    }
    a.host.netns.exec(['nft', 'flush', 'set', 'inet', 'tulle', 'cluster4'])
    t.match(refusalOf(check(pod, conf, result))?.details, /does not know what is inside/)
    added(a.host.pod(), conf)
    t.equal(check(pod, conf, result).code, 0)
  }),
)

t.test('ADDs at once: one device, every pod reached; GC takes all of it away', (t) =>
  withHosts(members.slice(0, 2), async (hosts) => {
    const [a, b] = hosts
    if (!a || !b) throw new Error('two hosts')
    const two = members.slice(0, 2)
    const overlay = { overlay: { mode: 'vxlan' } }
    const left = watchResidue(a.host, [])
    const other = place(b, overlayConf(b, two, overlay))
    const conf = overlayConf(a, two, overlay)
    const pods = Array.from({ length: 8 }, () => a.host.pod())
    await Promise.all(pods.map((pod) => addedLater(pod, conf)))
    t.strictSame([...routesOf(a)].sort(), ['10.1.2.0/24 tulle.1', 'fd01:2::/64 tulle-v6.1'])
    for (const pod of pods)
      for (const address of other.addresses) t.ok(pings(pod, address), `${address}`)
    for (const pod of pods) pod.netns.close()
    const ran = ask('GC', a.host, { ...conf, 'cni.dev/valid-attachments': [] })
    t.strictSame([ran.code, ran.stdout], [0, ''])
    t.strictSame(left(), [])
  }),
)

for (const verb of ['DEL', 'GC'] as const)
  t.test(`the store is lost: ${verb} takes the overlay away all the same`, (t) =>
    withHosts(members.slice(0, 1), (hosts) => {
      const [a] = hosts
      if (!a) throw new Error('a host')
      const conf = overlayConf(a, members)
      const pod = a.host.pod()
      const left = watchResidue(a.host, [pod.netns])
      added(pod, conf)
      rmSync(a.host.dataDir, { recursive: true })
      if (verb === 'DEL') deleted(pod, conf)
      else t.equal(ask('GC', a.host, { ...conf, 'cni.dev/valid-attachments': [] }).code, 0)
      t.strictSame(left(), [])
    }),
  )

t.test('STATUS tells what prevents ADD', (t) =>
  withHosts(members.slice(0, 1), (hosts) => {
    const [a] = hosts
    if (!a) throw new Error('a host')
    const conf = overlayConf(a, members)
    t.equal(ask('STATUS', a.host, conf).code, 0)
    a.host.netns.ip('link', 'set', 'eth0', 'down')
    const named = { ...conf, overlay: { ...(conf.overlay as Json), node: 'a' } }
    const refusal = refusalOf(ask('STATUS', a.host, named))
    t.equal(refusal?.code, 50)
    t.match(refusal?.details, /none of the addresses of node a .* is on a link of this host/)
    t.equal(refusalOf(add(a.host.pod(), named))?.code, 106)
  }),
)
