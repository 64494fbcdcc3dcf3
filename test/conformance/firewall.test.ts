import t from 'tap'
import { addressesOf, type Result, refusalOf } from '../support/attachment.ts'
import { call, type Json } from '../support/cni.ts'
import { firewalls, listed } from '../support/firewalled.ts'
import { type Host, type Pod, uplink, withHost } from '../support/host.ts'
import { ask, asOurs, chainAdded, chainDeleted, type Maker } from '../support/named.ts'
import { run } from '../support/netns.ts'
import { watchResidue } from '../support/residue.ts'

t.setTimeout(240_000)

const network = (host: Host, name = 'net'): Json => ({
  cniVersion: '1.0.0',
  name,
  bridge: `cni-${name}`,
  isGateway: true,
  dataDir: host.dataDir,
  ipam: {
    type: 'host-local',
    dataDir: `${host.directory}/host-local`,
    ranges: [[{ subnet: `10.${name.length}0.0.0/24` }], [{ subnet: `fd00:${name.length}0::/64` }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  },
})

/** The reference's bridge, and one firewall or the other behind it. */
const chain = (host: Host, maker: Maker, keys: Json = {}, name = 'net') => [
  { name: 'bridge' as const, maker: 'reference' as const, conf: network(host, name) },
  { name: 'firewall' as const, maker, conf: { ...network(host, name), ...keys } },
]

const reaches = (from: Pod['netns'], addresses: readonly string[]): readonly boolean[] =>
  addresses.map((to) => from.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '0.5', to]).code === 0)
const both = (answer: boolean): readonly boolean[] => [answer, answer]
const outside = [uplink.outside.v4, uplink.outside.v6]

/** The reference's bridge checks its IPv6 address for a second, and answers nobody until then. */
function noDetection(host: Host): void {
  host.netns.exec(['/bin/sh', '-c', 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'])
}

function routeBack(host: Host): void {
  host.outside.ip('route', 'add', '10.0.0.0/8', 'via', uplink.node.v4)
  host.outside.ip('-6', 'route', 'add', 'fd00::/16', 'via', uplink.node.v6)
}

/** Who reaches whom on a host that drops what it forwards. */
function paths(host: Host, maker: Maker, keys: Json): Readonly<Record<string, readonly boolean[]>> {
  firewalls[0]?.make(host)
  noDetection(host)
  routeBack(host)
  const [one, two, other] = [host.pod(), host.pod(), host.pod()]
  const near = [one, two].map((pod) => addressesOf(chainAdded(pod, chain(host, maker, keys))))
  const far = addressesOf(chainAdded(other, chain(host, maker, keys, 'other')))
  return {
    'to the outside': reaches(one.netns, outside),
    'from the outside': reaches(host.outside, near[0] ?? []),
    'to the same bridge': reaches(one.netns, near[1] ?? []),
    'to another bridge': reaches(one.netns, far),
    'from the host': reaches(host.netns, near[0] ?? []),
  }
}

for (const keys of [{}, { backend: 'iptables', iptablesAdminChainName: 'ADMIN' }] as Json[])
  t.test(`paths are those of the reference, ${JSON.stringify(keys)}`, async (t) => {
    const theirs = await withHost((host) => paths(host, 'reference', keys))
    const ours = await withHost((host) => paths(host, 'ours', keys))
    t.strictSame(ours, theirs)
    t.strictSame(ours['to the outside'], both(true), 'and some of them are open')
    t.strictSame(ours['from the outside'], both(false), 'and some are not')
  })

t.test('what a host port leads to passes, which the reference forgets', (t) =>
  withHost((host) => {
    firewalls[0]?.make(host)
    noDetection(host)
    routeBack(host)
    const pod = host.pod()
    const [v4 = '', v6 = ''] = addressesOf(chainAdded(pod, chain(host, 'ours')))
    const nat = (family: string, node: string, to: string): string =>
      `add table ${family} nat; add chain ${family} nat pre { type nat hook prerouting priority ` +
      `-100; }; add rule ${family} nat pre ${family} daddr ${node} dnat to ${to}`
    host.netns.exec(['nft', nat('ip', uplink.node.v4, v4)])
    host.netns.exec(['nft', nat('ip6', uplink.node.v6, v6)])
    t.same(reaches(host.outside, [v4, v6]), both(false))
    t.same(reaches(host.outside, [uplink.node.v4, uplink.node.v6]), both(true))
  }),
)

for (const [why, args] of [
  ['DEL without prevResult, where the reference leaks', 'bare'],
  ['DEL with prevResult', 'full'],
] as const)
  t.test(`${why}: everything is as before`, (t) =>
    withHost((host) => {
      for (const firewall of firewalls.slice(0, 3)) firewall.make(host)
      const plugins = chain(host, 'ours', { ingressPolicy: 'isolated' })
      const before = listed(host)
      const pods = [host.pod(), host.pod()] as const
      const results = pods.map((pod) => chainAdded(pod, plugins))
      t.match(listed(host), /tulle/)
      chainDeleted(pods[0], plugins, args === 'full' ? results[0] : undefined)
      t.match(listed(host), /tulle/, 'one pod left')
      for (const _ of ['once', 'and again'])
        chainDeleted(pods[1], plugins, args === 'full' ? results[1] : undefined)
      t.equal(listed(host), before)
    }),
  )

const portOf = (host: Host, result: Result): boolean => {
  const name = result.interfaces?.[1]?.name ?? ''
  const info = host.netns.ipJson('link', 'show', name)[0]?.linkinfo
  return (info as { info_slave_data: { isolated: boolean } }).info_slave_data.isolated
}

for (const [policy, same, across] of [
  ['open', true, true],
  ['same-bridge', true, false],
  ['isolated', false, false],
] as const)
  t.test(`${policy} behind the reference's bridge`, (t) =>
    withHost((host) => {
      noDetection(host)
      const keys = { ingressPolicy: policy, cniVersion: '1.0.0' }
      const [near, far] = [chain(host, 'ours', keys), chain(host, 'ours', keys, 'other')]
      const [one, two, other] = [host.pod(), host.pod(), host.pod()]
      const result = chainAdded(one, near)
      const sibling = addressesOf(chainAdded(two, near))
      const distant = addressesOf(chainAdded(other, far))
      for (const value of ['0', '1']) {
        for (const name of ['bridge-nf-call-iptables', 'bridge-nf-call-ip6tables'])
          host.netns.exec(['/bin/sh', '-c', `echo ${value} > /proc/sys/net/bridge/${name}`])
        t.same(reaches(one.netns, sibling), both(same), `same bridge, br_netfilter ${value}`)
        t.same(reaches(one.netns, distant), both(across), `other bridge, br_netfilter ${value}`)
        t.same(reaches(host.netns, addressesOf(result)), both(true), 'the host')
      }
      const [, plugin] = near
      if (!plugin) throw new Error('no firewall')
      const checking = { ...plugin, conf: { ...plugin.conf, prevResult: result } }
      t.equal(ask('CHECK', one, checking).code, 0)
      t.equal(portOf(host, result), policy === 'isolated', 'the port')
      const link = result.interfaces?.[1]?.name ?? ''
      if (policy === 'isolated') {
        host.netns.exec(['bridge', 'link', 'set', 'dev', link, 'isolated', 'off'])
        t.match(refusalOf(ask('CHECK', one, checking))?.details, /is not isolated/)
        host.netns.exec(['bridge', 'link', 'set', 'dev', link, 'isolated', 'on', 'hairpin', 'on'])
      }
      t.equal(ask('DEL', one, plugin).code, 0)
      t.equal(portOf(host, result), false, 'the port is as it was')
      t.equal(ask('ADD', one, checking).code, 0, 'ADD again')
      t.equal(ask('ADD', one, checking).code, 0, 'and again, without a DEL')
      t.equal(ask('DEL', one, plugin).code, 0)
      t.equal(portOf(host, result), false, 'the port is as it was')
      chainDeleted(two, near)
      chainDeleted(other, far)
      t.equal(host.netns.exec(['nft', 'list', 'tables']).stdout, '')
    }),
  )

t.test('the result of the chain is handed on as it is', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const [bridge, firewall] = chain(host, 'ours')
    if (!bridge || !firewall) throw new Error('no chain')
    const before = chainAdded(pod, [bridge])
    const conf = { ...firewall.conf, prevResult: before }
    const ran = ask('ADD', pod, { ...firewall, conf })
    t.strictSame(JSON.parse(ran.stdout), before)
  }),
)

t.test('GC collects what the runtime does not list', (t) =>
  withHost((host) => {
    firewalls[0]?.make(host)
    const before = listed(host)
    const pod = host.pod()
    const plugins = chain(host, 'ours', { ingressPolicy: 'isolated' })
    const result = chainAdded(pod, plugins)
    const gc = (valid: readonly Json[]) =>
      call({
        verb: 'GC',
        conf: {
          ...network(host),
          type: 'firewall',
          cniVersion: '1.1.0',
          'cni.dev/valid-attachments': valid,
        },
        node: host.netns,
        ...asOurs(host, 'firewall'),
      })
    t.equal(gc([{ containerID: pod.container, ifname: 'eth0' }]).code, 0)
    t.equal(portOf(host, result), true, 'a listed one stays')
    t.equal(gc([]).code, 0)
    t.equal(portOf(host, result), false)
    t.equal(listed(host), before)
  }),
)

t.test('what is refused, and leaves nothing', (t) =>
  withHost((host) => {
    const pod = host.pod()
    const plugins = chain(host, 'ours')
    const prevResult = chainAdded(pod, plugins.slice(0, 1))
    const left = watchResidue(host, [pod.netns])
    const conf = { ...network(host), prevResult }
    const asked = (keys: Json) =>
      refusalOf(ask('ADD', pod, { name: 'firewall', maker: 'ours', conf: { ...conf, ...keys } }))
    t.match(asked({ ingressPolicy: 'closed' }), { code: 7, details: /ingressPolicy is "closed"/ })
    t.match(asked({ backend: 'pf' }), { code: 7, details: /backend is "pf"/ })
    t.match(asked({ prevResult: undefined }), { code: 7, msg: /prevResult/ })
    pod.netns.ip('link', 'add', 'br9', 'type', 'bridge')
    const other = { ...pod, ifname: 'br9' }
    const ran = ask('ADD', other, {
      name: 'firewall',
      maker: 'ours',
      conf: { ...conf, ingressPolicy: 'isolated' },
    })
    t.match(refusalOf(ran), { code: 7, details: /no veth/ })
    pod.netns.ip('link', 'del', 'br9')
    t.same(left(), [])
  }),
)

/** nerdctl: `CNI firewall plugin (v.*?)( |$)` of the first line, as semver, at least 1.7.1. */
t.test('a bare call says the version that nerdctl asks for', (t) =>
  withHost((host) => {
    const bare = run([asOurs(host, 'firewall').plugin], { env: {} })
    t.equal(bare.code, 0)
    const [line = ''] = bare.stderr.split('\n')
    const version = line.replace(/^CNI firewall plugin /, '').split(' ')[0] ?? ''
    const [, major, minor, patch] = /^v(\d+)\.(\d+)\.(\d+)$/.exec(version) ?? []
    t.ok(Number(major) * 1e4 + Number(minor) * 1e2 + Number(patch) >= 10701, line)
    t.equal(bare.stdout, '')
  }),
)
