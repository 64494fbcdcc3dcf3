import { type Test, test } from 'tap'
import type { Family } from '../../src/base/address.ts'
import type { RouteMode } from '../../src/cluster/node.ts'
import { defaultOverlay } from '../../src/overlay/options.ts'
import { node } from '../overlay/values.ts'
import { settleAll, type TestNode, type Underlay, withUnderlay } from '../support/underlay.ts'

/** a and b on one link, c behind a router. */
function three(underlay: Underlay, families: readonly Family[]): readonly TestNode[] {
  const texts = (v4: string, v6: string): string =>
    families.map((family) => (family === 4 ? v4 : v6)).join(' ')
  return [
    underlay.add(node('a', texts('10.0.0.1', 'fd00:0::1'), '10.1.1.0/24 fd01:1::/64')),
    underlay.add(node('b', texts('10.0.0.2', 'fd00:0::2'), '10.1.2.0/24 fd01:2::/64')),
    underlay.add(node('c', texts('10.1.0.3', 'fd00:1::3'), '10.2.3.0/24 fd01:3::/64'), 'far'),
  ]
}

function allReach(t: Test, nodes: readonly TestNode[], why: string): void {
  for (const from of nodes)
    for (const to of nodes)
      for (const family of [4, 6] as const)
        if (from !== to)
          t.ok(
            from.reaches(to, family),
            `${why}: ${from.node.name} → ${to.node.name}, IPv${family}`,
          )
}

const linkOf = (one: TestNode, to: string): unknown =>
  one.netns.ipJson(to.includes(':') ? '-6' : '-4', 'route', 'show', to)[0]?.dev

for (const { families, mode, want } of [
  { families: [4, 6], mode: 'auto', want: ['eth0', 'eth0', 'tulle.1', 'tulle-v6.1'] },
  { families: [4], mode: 'auto', want: ['eth0', 'tulle.1', 'tulle.1', 'tulle.1'] },
  { families: [6], mode: 'auto', want: ['tulle-v6.1', 'eth0', 'tulle-v6.1', 'tulle-v6.1'] },
  { families: [4, 6], mode: 'vxlan', want: ['tulle.1', 'tulle-v6.1', 'tulle.1', 'tulle-v6.1'] },
] as const satisfies readonly { families: readonly Family[]; mode: RouteMode; want: unknown }[])
  test(`pods of three nodes reach each other over IPv${families.join(' and IPv')}, ${mode}`, (t) =>
    withUnderlay((underlay) => {
      const nodes = three(underlay, families)
      const options = { ...defaultOverlay, mode }
      for (const settled of settleAll(nodes, options)) t.strictSame(settled.refusals, [])
      const [a] = nodes
      const to = ['10.1.2.0/24', 'fd01:2::/64', '10.2.3.0/24', 'fd01:3::/64']
      t.strictSame(a && to.map((prefix) => linkOf(a, prefix)), want)
      allReach(t, nodes, 'at first')
      for (const settled of settleAll(nodes, options))
        t.match(settled, { devicesChanged: [], changes: 0, refusals: [], faults: [] }, 'settled')
    }))

test('the host reaches pods of other nodes, with an address that leads back', (t) =>
  withUnderlay((underlay) => {
    const nodes = three(underlay, [4, 6])
    settleAll(nodes)
    const [a] = nodes
    for (const other of nodes.slice(1))
      for (const family of [4, 6] as const) {
        const words = ['ping', '-n', '-c', '1', '-W', '3', other.podAddress(family)]
        t.equal(a?.netns.exec(words).code, 0, `IPv${family} to a pod of ${other.node.name}`)
      }
  }))

test('full-sized packets fit through the tunnel, over IPv6 too', (t) =>
  withUnderlay((underlay) => {
    const nodes = three(underlay, [4, 6])
    settleAll(nodes)
    const [a, , c] = nodes
    for (const [name, mtu] of [
      ['tulle.1', 1450],
      ['tulle-v6.1', 1430],
    ] as const)
      t.equal(a?.netns.ipJson('link', 'show', 'dev', name)[0]?.mtu, mtu)
    // 1430 less the IP and ICMP headers; not one fragment of the outer packet is allowed
    for (const [family, bytes] of [
      [4, 1430 - 28],
      [6, 1430 - 48],
    ] as const) {
      for (const one of nodes) one.pod.ip('link', 'set', 'eth0', 'mtu', '1430')
      const words = ['ping', '-n', '-c', '1', '-W', '3', '-M', 'do', '-s', `${bytes}`]
      const done = a?.pod.exec([...words, c?.podAddress(family) ?? ''])
      t.equal(done?.code, 0, `${bytes} bytes over IPv${family}`)
    }
    const fragments = a?.netns.exec(['cat', '/proc/net/snmp6']).stdout ?? ''
    t.match(fragments, /Ip6FragCreates\s+0\n/)
  }))

/** Outer packets whose checksum was wrong; of the namespace's own /proc/net. */
const checksumErrors = ({ netns }: TestNode): number => {
  const [names = '', values = ''] = netns
    .exec(['grep', '^Udp:', '/proc/net/snmp'])
    .stdout.split('\n')
  return Number(values.split(' ')[names.split(' ').indexOf('InCsumErrors')])
}

test('a NAT rule that catches the outer packets spoils no checksum', (t) =>
  withUnderlay((underlay) => {
    const nodes = three(underlay, [4, 6])
    settleAll(nodes)
    const [a, , c] = nodes
    if (!a || !c) throw new Error('three nodes')
    for (const words of [
      'add table inet spoiler',
      'add chain inet spoiler out { type nat hook postrouting priority 100; }',
      'add rule inet spoiler out oifname eth0 udp dport 8472 counter masquerade fully-random',
    ])
      t.equal(a.netns.exec(['nft', words]).code, 0)
    for (const family of [4, 6] as const) t.ok(a.reaches(c, family, 1300), `IPv${family}`)
    const rules = a.netns.exec(['nft', 'list', 'chain', 'inet', 'spoiler', 'out']).stdout
    t.match(rules, /counter packets [1-9]/, 'it was asked')
    t.equal(checksumErrors(c), 0)
  }))
