import { type Test, test } from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'
import { devicesOf } from '../../src/overlay/device.ts'
import { defaultOverlay } from '../../src/overlay/options.ts'
import { node } from '../overlay/values.ts'
import { run } from '../support/netns.ts'
import {
  batch,
  settleAll,
  type TestNode,
  type Underlay,
  withUnderlay,
} from '../support/underlay.ts'

/** a and b on one link, c behind a router; all settled. */
function three(underlay: Underlay): readonly [TestNode, TestNode, TestNode] {
  const nodes = [
    underlay.add(node('a', '10.0.0.1 fd00:0::1', '10.1.1.0/24 fd01:1::/64')),
    underlay.add(node('b', '10.0.0.2 fd00:0::2', '10.1.2.0/24 fd01:2::/64')),
    underlay.add(node('c', '10.1.0.3 fd00:1::3', '10.2.3.0/24 fd01:3::/64'), 'far'),
  ] as const
  settleAll(nodes)
  return nodes
}

const fdbOf = ({ netns }: TestNode, device = 'tulle.1'): readonly string[] =>
  netns
    .exec(['bridge', 'fdb', 'show', 'dev', device])
    .stdout.split('\n')
    .map((line) => line.replace(' self', '').trim())
    .filter(Boolean)
const neighboursOf = ({ netns }: TestNode, device = 'tulle.1'): readonly unknown[] =>
  netns.ipJson('-4', 'neighbour', 'show', 'dev', device).map(({ dst, lladdr }) => [dst, lladdr])
const routesOf = ({ netns }: TestNode): readonly string[] =>
  [...netns.ipJson('-4', 'route', 'show'), ...netns.ipJson('-6', 'route', 'show')]
    .filter(({ protocol }) => protocol === '116')
    .map(({ dst, gateway, dev }) => `${dst} via ${gateway} dev ${dev}`)

function allReach(t: Test, from: TestNode, others: readonly TestNode[], why: string): void {
  for (const to of others)
    for (const family of [4, 6] as const)
      t.ok(from.reaches(to, family), `${why}: → ${to.node.name}, IPv${family}`)
}

const without = (one: ClusterNode, name: string, rest: Partial<ClusterNode>): ClusterNode => ({
  ...one,
  name,
  ...rest,
})

test('a node that is gone leaves nothing, though nobody saw it go', (t) =>
  withUnderlay((underlay) => {
    const [a, b, c] = three(underlay)
    t.equal(routesOf(a).length, 4)
    // a new process: nothing is remembered
    a.settle([a, b])
    t.strictSame(routesOf(a), [
      '10.1.2.0/24 via 10.0.0.2 dev eth0',
      'fd01:2::/64 via fd00::2 dev eth0',
    ])
    t.strictSame(fdbOf(a), [])
    t.strictSame(neighboursOf(a), [])
    t.strictSame(fdbOf(a, 'tulle-v6.1'), [])
    a.settle([a])
    t.strictSame(routesOf(a), [])
    settleAll([a, b, c])
    allReach(t, a, [b, c], 'back again')
  }))

test('a node with a new address: its old forwarding entry does not stay', (t) =>
  withUnderlay((underlay) => {
    const [a, b, c] = three(underlay)
    t.strictSame(fdbOf(a), ['02:74:0a:01:00:03 dst 10.1.0.3 permanent'])
    batch(c.netns, ['addr del 10.1.0.3/24 dev eth0', 'addr add 10.1.0.4/24 dev eth0'])
    batch(c.netns, ['route replace default via 10.1.0.254 dev eth0'])
    c.node = { ...c.node, addresses: node('', '10.1.0.4 fd00:1::3', '').addresses }
    const settled = settleAll([a, b, c])
    t.match(settled[2]?.devicesChanged.join(), /local address of tulle\.1 was 10\.1\.0\.3/)
    t.notMatch(settled[2]?.devicesChanged.join(), /created/, 'in place')
    t.strictSame(fdbOf(a), ['02:74:0a:01:00:04 dst 10.1.0.4 permanent'])
    t.strictSame(neighboursOf(a), [['10.2.3.0', '02:74:0a:01:00:04']])
    allReach(t, a, [b, c], 'after the change')
  }))

test('a node with another podCIDR', (t) =>
  withUnderlay((underlay) => {
    const [a, b] = three(underlay)
    const moved = without(b.node, 'b', { podCIDRs: node('', '', '10.1.9.0/24').podCIDRs })
    const before = b.node
    b.node = moved
    a.settle([a, b])
    t.strictSame(routesOf(a), ['10.1.9.0/24 via 10.0.0.2 dev eth0'])
    b.node = before
  }))

for (const { why, harm } of [
  { why: 'routes', harm: ['route flush proto 116', '-6 route flush proto 116'] },
  {
    why: 'neighbours',
    harm: ['neigh flush dev tulle.1 nud permanent', '-6 neigh flush dev tulle-v6.1 nud permanent'],
  },
  { why: 'devices', harm: ['link del tulle.1', 'link del tulle-v6.1'] },
  { why: 'a device that is down', harm: ['link set tulle.1 down', 'link set tulle-v6.1 down'] },
  {
    why: 'addresses of the device',
    harm: ['addr flush dev tulle.1', 'addr add 10.9.9.9/32 dev tulle.1'],
  },
  {
    why: 'MAC, MTU, learning and local address',
    harm: [
      'link set tulle.1 address 02:00:00:00:00:99 mtu 1300',
      'link set tulle.1 type vxlan id 1 local 10.0.0.77 learning',
    ],
  },
  {
    why: 'a route that leads elsewhere',
    harm: ['route replace 10.2.3.0/24 via 10.0.0.2 dev eth0 src 10.0.0.1 proto 116'],
  },
])
  test(`somebody spoils ${why}: mended, and everybody is reached`, (t) =>
    withUnderlay((underlay) => {
      const [a, b, c] = three(underlay)
      for (const line of harm) a.netns.ip(...line.split(' '))
      const before = a.fabric.observe([])
      const mended = a.settle([a, b, c])
      t.ok(mended.changes > 0 || mended.devicesChanged.length > 0, `${before.entries.size}`)
      t.strictSame(mended.refusals, [])
      t.match(a.settle([a, b, c]), { devicesChanged: [], changes: 0, faults: [], refusals: [] })
      allReach(t, a, [b, c], 'mended')
    }))

test('fdb entries are flushed and others put in: mended', (t) =>
  withUnderlay((underlay) => {
    const [a, b, c] = three(underlay)
    const fdb = (...words: readonly string[]) => a.netns.exec(['bridge', 'fdb', ...words])
    fdb('del', '02:74:0a:01:00:03', 'dev', 'tulle.1', 'self')
    fdb('add', '02:00:00:00:00:01', 'dev', 'tulle.1', 'dst', '10.0.0.9', 'self', 'permanent')
    a.settle([a, b, c])
    t.strictSame(fdbOf(a), ['02:74:0a:01:00:03 dst 10.1.0.3 permanent'])
    fdb('replace', '02:74:0a:01:00:03', 'dev', 'tulle.1', 'dst', '10.0.0.9', 'self', 'permanent')
    a.settle([a, b, c])
    t.strictSame(fdbOf(a), ['02:74:0a:01:00:03 dst 10.1.0.3 permanent'])
    allReach(t, a, [b, c], 'mended')
  }))

for (const { why, link } of [
  { why: 'another VNI', link: 'id 9 dstport 8472' },
  { why: 'another port', link: 'id 1 dstport 4789' },
  { why: 'no outer checksum', link: 'id 1 dstport 8472 noudpcsum' },
  { why: 'a parent link', link: 'id 1 dstport 8472 dev eth0' },
  { why: 'the other family', link: 'id 1 dstport 8472 local fd00::1' },
])
  test(`a device of ours with ${why} is made anew`, (t) =>
    withUnderlay((underlay) => {
      const [a, b, c] = three(underlay)
      const local = link.includes('local') ? '' : 'local 10.0.0.1'
      batch(a.netns, [
        'link del tulle.1',
        // its VNI and port must be free for the other family
        ...(local === '' ? ['link del tulle-v6.1'] : []),
        `link add tulle.1 type vxlan ${link} ${local} nolearning`,
        'link set tulle.1 alias "tulle1 overlay"',
      ])
      const mended = a.settle([a, b, c])
      t.match(mended.devicesChanged.join(), /removed tulle\.1: .*created tulle\.1/)
      t.match(a.settle([a, b, c]), { devicesChanged: [], changes: 0, faults: [] })
      allReach(t, a, [b, c], 'made anew')
    }))

test('the uplink is deleted and made again: tunnels go on by themselves', (t) =>
  withUnderlay((underlay) => {
    const [a, b, c] = three(underlay)
    const before = [fdbOf(a), neighboursOf(a)]
    batch(a.netns, ['link del eth0'])
    t.throws(() => a.self(), /Cannot find this node's way out/, 'no change while there is none')
    a.plugUplink()
    t.strictSame([fdbOf(a), neighboursOf(a)], before)
    allReach(t, a, [c], 'nobody did anything')
    a.settle([a, b, c])
    allReach(t, a, [b, c], 'settled')
  }))

test('a device that its maker was killed at is finished; one of others is refused', (t) =>
  withUnderlay((underlay) => {
    const a = underlay.add(node('a', '10.0.0.1', '10.1.1.0/24'))
    const tunnel = 'type vxlan id 1 dstport 8472 local 10.0.0.1 nolearning udp6zerocsumrx'
    batch(a.netns, [`link add tulle.1 address 02:74:0a:00:00:01 mtu 1450 ${tunnel}`])
    t.match(a.settle([a]).devicesChanged.join(), /^marked tulle\.1/)
    batch(a.netns, ['link del tulle.1', `link add tulle.1 address 02:00:00:00:00:01 ${tunnel}`])
    const settle = (): unknown => a.settle([a])
    t.throws(settle, /Cannot use link tulle\.1: it is not Tulle's \(kind vxlan, alias ""\)/)
    batch(a.netns, ['link set tulle.1 alias "mine"'])
    t.throws(settle, /not Tulle's \(kind vxlan, alias "mine"\); rename or remove it/)
    a.fabric.dropAll()
    t.equal(a.netns.ipJson('link', 'show', 'dev', 'tulle.1').length, 1, 'not removed either')
    batch(a.netns, ['link del tulle.1', `link add flannel.1 ${tunnel}`])
    t.throws(settle, /link flannel\.1 has VNI 1 on UDP port 8472; remove that, or choose another/)
  }))

test("somebody else's routes are refused in words, and never touched", (t) =>
  withUnderlay((underlay) => {
    const [a, b, c] = three(underlay)
    a.settle([a])
    batch(a.netns, [
      'route add 10.1.2.0/24 via 10.0.0.9 dev eth0 proto static',
      'route add fd01:3::/64 via fd00::9 dev eth0 proto boot',
      'route add 10.1.1.9/32 dev pods proto 116',
      'route add 10.77.0.0/16 via 10.0.0.9 dev eth0 proto 116',
      'route add 10.2.3.0/24 via 10.0.0.9 dev eth0 proto static metric 50',
    ])
    const others = (): readonly string[] =>
      [...a.netns.ipJson('-4', 'route'), ...a.netns.ipJson('-6', 'route')]
        .filter(
          ({ gateway, dst }) =>
            gateway === '10.0.0.9' || gateway === 'fd00::9' || dst === '10.1.1.9',
        )
        .map((one) => JSON.stringify(one))
    const before = others()
    t.equal(before.length, 5)
    const { refusals } = a.settle([a, b, c])
    t.equal(refusals.length, 2)
    t.match(refusals[0], /^Cannot add route 10\.1\.2\.0\/24 dev eth0: somebody else's route to it/)
    t.match(refusals.join(), /\(protocol 4, link \d+\); remove it \(ip route del 10\.1\.2\.0\/24\)/)
    t.match(refusals.join(), /Cannot add route fd01:3::\/64 dev tulle-v6\.1: somebody else's/)
    t.strictSame(others(), before)
    t.ok(a.reaches(c, 4), 'the rest is done')
    a.fabric.dropAll()
    t.strictSame(others(), before)
    t.strictSame(
      a.netns.ipJson('link', 'show').filter(({ ifname }) => `${ifname}`.startsWith('tulle')),
      [],
    )
    t.equal(a.fabric.observe([]).entries.size, 0)
  }))

test('a route of ours that the caller does not know of is taken over', (t) =>
  withUnderlay((underlay) => {
    const [a, b] = three(underlay)
    const observed = a.fabric.observe([]).entries
    const changes = [...observed.values()].map((entry) => ({ kind: 'add' as const, entry }))
    t.strictSame(a.fabric.apply(changes), [])
    t.equal(a.fabric.observe([]).entries.size, observed.size)
    const gone = [...observed.values()].map((entry) => ({ kind: 'delete' as const, entry }))
    t.strictSame(a.fabric.apply(gone), [])
    t.strictSame(a.fabric.apply(gone), [], 'gone already is as good')
    t.equal(a.fabric.observe([]).entries.size, 0)
    const [gateway] = [parseAddress('10.0.0.2')]
    const [destination] = b.node.podCIDRs
    if (!gateway || !destination) throw new Error('odd values')
    const entry = { kind: 'route', destination, link: 'nolink', gateway, onlink: false } as const
    t.match(
      a.fabric.apply([{ kind: 'add', entry }])[0]?.text,
      /^Cannot add route .* nolink: ENODEV/,
    )
    t.strictSame(a.fabric.apply([{ kind: 'delete', entry }]), [])
  }))

test('devices that are no longer wanted go, with what is on them', (t) =>
  withUnderlay((underlay) => {
    const [a] = three(underlay)
    t.strictSame(a.fabric.ensureDevices([]), ['removed tulle.1', 'removed tulle-v6.1'])
    t.strictSame(
      [...a.fabric.observe([]).entries.values()].map(({ link }) => link),
      ['eth0', 'eth0'],
    )
    t.match(a.fabric.observe(devicesOf(a.self(), defaultOverlay)).faults, [
      'there is no tulle.1',
      'there is no tulle-v6.1',
    ])
  }))

/** `ip netns exec` mounts the namespace's own /sys. */
const sysfs = ({ netns }: TestNode, path: string): string =>
  run(['ip', 'netns', 'exec', netns.name, 'cat', `/sys/${path}`]).stdout.trim()

test('nobody in the tunnel reconfigures the host, and both ways are let in', (t) =>
  withUnderlay((underlay) => {
    const [a] = three(underlay)
    for (const device of ['tulle.1', 'tulle-v6.1']) {
      t.equal(a.sysctls.read(`net/ipv6/conf/${device}/accept_ra`), '0')
      t.equal(a.sysctls.read(`net/ipv4/conf/${device}/rp_filter`), '2')
      const [link] = a.netns.ipJson('link', 'show', 'dev', device)
      t.equal(link?.inet6_addr_gen_mode, 'none')
      t.equal(sysfs(a, `class/net/${device}/addr_assign_type`), '3')
    }
  }))
