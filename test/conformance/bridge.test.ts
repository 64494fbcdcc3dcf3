import t, { type Test } from 'tap'
import {
  add,
  added,
  addressesOf,
  check,
  deleted,
  netconf,
  type Result,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { type Host, type Pod, withHost } from '../support/host.ts'
import { leases } from '../support/leases.ts'
import { difference, picture, watchResidue } from '../support/residue.ts'
import { errorFaults, resultFaults } from '../support/shape.ts'

t.setTimeout(240_000)

const network = (host: Host, keys: Json = {}, ipam: Json = {}): Json =>
  netconf(host, { mode: 'bridge', families: 'dual', keys, ipam })

const vethOf = (result: Result): string => result.interfaces?.at(-2)?.name ?? ''
const answered = (from: Pod, to: string): boolean =>
  from.netns.exec(['/usr/bin/ping', '-n', '-c', '1', '-W', '1', to]).code === 0

type Flags = Readonly<{ hairpin: boolean; isolated: boolean }>
function portOf(host: Host, veth: string): Flags {
  const shown = host.netns.exec(['/usr/sbin/bridge', '-j', '-d', 'link', 'show', 'dev', veth])
  const [port] = JSON.parse(shown.stdout) as Flags[]
  return { hairpin: port?.hairpin ?? false, isolated: port?.isolated ?? false }
}

for (const row of [
  { why: 'nothing asked', keys: {}, wanted: { hairpin: false, isolated: false } },
  { why: 'hairpinMode', keys: { hairpinMode: true }, wanted: { hairpin: true, isolated: false } },
  {
    why: 'portIsolation',
    keys: { portIsolation: true },
    wanted: { hairpin: false, isolated: true },
  },
  {
    why: 'both',
    keys: { hairpinMode: true, portIsolation: true },
    wanted: { hairpin: true, isolated: true },
  },
]) {
  t.test(`port flags: ${row.why}`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = network(host, row.keys)
      const result = added(pod, conf)
      t.same(portOf(host, vethOf(result)), row.wanted)
      t.equal(check(pod, conf, result).code, 0)
      deleted(pod, conf)
    }),
  )
}

t.test('isolated ports reach the gateway, not one another', (t) =>
  withHost((host) => {
    const conf = network(host, { portIsolation: true })
    const [one, two] = [host.pod(), host.pod()]
    added(one, conf)
    for (const address of addressesOf(added(two, conf))) t.notOk(answered(one, address), address)
    t.ok(answered(one, '10.77.0.1'))
    t.ok(answered(one, 'fd00:77::1'))
  }),
)

t.test('promiscMode', (t) =>
  withHost((host) => {
    for (const promiscMode of [false, true]) {
      const pod = host.pod()
      const conf = network(host, { promiscMode })
      added(pod, conf)
      const [bridge] = host.netns.ipJson('link', 'show', 'cni0')
      t.equal(Number(bridge?.promiscuity) > 0, promiscMode)
      t.equal(JSON.stringify(bridge?.flags).includes('PROMISC'), promiscMode)
      deleted(pod, conf)
    }
  }),
)

const gatewayCases = [
  { why: 'no gateway', keys: { isGateway: false }, address: false, route: false },
  { why: 'isGateway', keys: { isGateway: true }, address: true, route: false },
  {
    why: 'isDefaultGateway',
    keys: { isGateway: false, isDefaultGateway: true },
    address: true,
    route: true,
  },
]
for (const { why, keys, address, route } of gatewayCases) {
  t.test(`gateway: ${why}`, (t) =>
    withHost((host) => {
      const pod = host.pod()
      const conf = network(host, keys)
      const result = added(pod, conf)
      t.same(resultFaults(result, '1.1.0'), [])
      const shown = JSON.stringify(host.netns.ipJson('addr', 'show', 'dev', 'cni0'))
      t.equal(shown.includes('"10.77.0.1"'), address, 'IPv4 on the bridge')
      t.equal(shown.includes('"fd00:77::1"'), address, 'IPv6 on the bridge')
      const defaults = ['-4', '-6'].flatMap((family) =>
        pod.netns.ipJson(family, 'route', 'show', 'default').map((one) => one.gateway),
      )
      t.same(defaults, route ? ['10.77.0.1', 'fd00:77::1'] : [])
      const told = (result.routes ?? []).map(({ dst }) => dst)
      t.same(told, route ? ['0.0.0.0/0', '::/0'] : [])
      deleted(pod, conf)
    }),
  )
}

/** An address on the bridge that is not the one asked for: an error, unless forceAddress. */
function otherAddress(t: Test, host: Host): void {
  const first = network(host)
  const living = host.pod()
  added(living, first)
  const moved = network(host, { name: 'net2' }, { ranges: [[{ subnet: '10.78.0.0/24' }]] })
  const left = watchResidue(host, [living.netns])
  const pod = host.pod()
  const ran = add(pod, moved)
  t.same(errorFaults(ran), [])
  t.equal(refusalOf(ran)?.code, 106)
  t.match(refusalOf(ran)?.details, '10.77.0.1')
  t.match(refusalOf(ran)?.details, 'forceAddress')
  t.same(left(), [], 'nothing is left of it')
  const forced = { ...moved, forceAddress: true }
  added(pod, forced)
  const shown = host.netns.ipJson('-4', 'addr', 'show', 'dev', 'cni0')
  t.notMatch(JSON.stringify(shown), '10.77.0.1')
  t.match(JSON.stringify(shown), '10.78.0.1')
  t.ok(answered(pod, '10.78.0.1'))
  deleted(pod, forced)
  deleted(living, first)
  t.same(leases(host.dataDir), [])
}
t.test('a bridge with another address', (t) => withHost((host) => otherAddress(t, host)))

t.test('a name that is taken by something that is no bridge', (t) =>
  withHost((host) => {
    host.netns.ip('link', 'add', 'cni0', 'type', 'veth', 'peer', 'name', 'other')
    const left = watchResidue(host, [])
    const ran = add(host.pod(), network(host))
    t.same(errorFaults(ran), [])
    t.equal(refusalOf(ran)?.code, 106)
    t.match(refusalOf(ran)?.details, 'cni0')
    t.same(left(), [])
  }),
)

t.test('a bridge that somebody else made stays when the last port leaves', (t) =>
  withHost((host) => {
    host.netns.ip('link', 'add', 'cni0', 'type', 'bridge')
    host.netns.ip('link', 'set', 'cni0', 'up', 'addrgenmode', 'none')
    const pods = [host.pod(), host.pod()]
    for (const pod of pods) added(pod, network(host))
    for (const pod of pods) deleted(pod, network(host))
    t.equal(host.netns.ipJson('link', 'show', 'cni0').length, 1)
  }),
)

t.test('our bridge goes with its last port, and keeps its MAC until then', (t) =>
  withHost((host) => {
    const before = picture(host.netns)
    const macOf = (): unknown => host.netns.ipJson('link', 'show', 'cni0')[0]?.address
    const pods = [host.pod(), host.pod(), host.pod()]
    const macs = pods.map((pod) => {
      added(pod, network(host))
      return macOf()
    })
    deleted(pods[0]!, network(host))
    macs.push(macOf())
    t.equal(new Set(macs).size, 1, `${macs}`)
    host.netns.ip('link', 'add', 'foreign', 'type', 'veth', 'peer', 'name', 'foreign1')
    host.netns.ip('link', 'set', 'foreign', 'master', 'cni0')
    for (const pod of pods) deleted(pod, network(host))
    t.equal(host.netns.ipJson('link', 'show', 'cni0').length, 1, 'a foreign port keeps it')
    host.netns.ip('link', 'del', 'foreign')
    const last = host.pod()
    added(last, network(host))
    deleted(last, network(host))
    t.same(difference(before, picture(host.netns)), [])
  }),
)

t.test('a network without IPAM: an interface without addresses', (t) =>
  withHost((host) => {
    for (const ipam of [undefined, {}]) {
      const [one, two] = [host.pod(), host.pod()]
      const left = watchResidue(host, [one.netns, two.netns])
      const conf = { ...network(host), isGateway: false, ipam }
      const result = added(one, conf)
      t.same(resultFaults(result, '1.1.0'), [])
      t.equal(result.ips, undefined)
      const checked = check(one, conf, result)
      t.equal(checked.code, 0, `CHECK: ${checked.stdout}${checked.stderr}`)
      const flags = one.netns.ipJson('link', 'show', 'eth0')[0]?.flags
      t.match(JSON.stringify(flags), 'UP')
      added(two, conf)
      t.same(one.netns.ipJson('-4', 'addr', 'show', 'dev', 'eth0'), [])
      deleted(one, conf)
      deleted(two, conf)
      t.same(left(), [])
    }
  }),
)

t.test('two bridges for two networks', (t) =>
  withHost((host) => {
    const other = network(
      host,
      { bridge: 'cni1', name: 'net2' },
      {
        ranges: [[{ subnet: '10.78.0.0/24' }]],
      },
    )
    const [one, two] = [host.pod(), host.pod()]
    const left = watchResidue(host, [one.netns, two.netns])
    added(one, network(host))
    added(two, other)
    t.equal(host.netns.ipJson('link', 'show', 'type', 'bridge').length, 2)
    deleted(one, network(host))
    t.same(
      host.netns.ipJson('link', 'show', 'type', 'bridge').map(({ ifname }) => ifname),
      ['cni1'],
    )
    deleted(two, other)
    t.same(left(), [])
  }),
)
