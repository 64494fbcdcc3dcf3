import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { formatPrefix } from '../../src/base/prefix.ts'
import type { Underlay } from '../../src/overlay/fabric.ts'
import { type HostLink, selfOf } from '../../src/overlay/self.ts'
import { prefix } from '../wire/values.ts'
import { node } from './values.ts'

const link = (name: string, addresses: string, rest: Partial<HostLink> = {}): HostLink => ({
  name,
  mtuBytes: 1500,
  isUp: true,
  addresses: addresses.split(' ').filter(Boolean).map(prefix),
  ...rest,
})
const lo = link('lo', '127.0.0.1/8 ::1/128', { mtuBytes: 65536 })
const eth0 = link('eth0', '10.0.0.1/24 fd00::1/64 fe80::1/64')

const lineOf = (way: Underlay | undefined): string | undefined =>
  way &&
  `${formatAddress(way.address)} on ${way.link} mtu ${way.mtuBytes}, ` +
    `on link: ${way.onLink.map(formatPrefix).join(' ')}`

for (const { why, links, addresses, want4, want6, problem } of [
  {
    why: 'both families on one link',
    links: [lo, eth0],
    addresses: '10.0.0.1 fd00::1',
    want4: '10.0.0.1 on eth0 mtu 1500, on link: 10.0.0.0/24',
    want6: 'fd00::1 on eth0 mtu 1500, on link: fd00::/64 fe80::/64',
  },
  {
    why: 'the preferred address that this host has',
    links: [lo, eth0, link('eth1', '10.7.0.1/16', { mtuBytes: 9000 })],
    addresses: '203.0.113.5 10.7.0.1 10.0.0.1',
    want4: '10.7.0.1 on eth1 mtu 9000, on link: 10.7.0.0/16',
  },
  {
    why: 'a network that a router announced',
    links: [link('eth0', 'fd00::1/128', { announced: [prefix('fd00::/64')] })],
    addresses: 'fd00::1',
    want6: 'fd00::1 on eth0 mtu 1500, on link: fd00::1/128 fd00::/64',
  },
  {
    why: 'a route to everywhere is no network',
    links: [link('eth0', 'fd00::1/128', { announced: [prefix('::/0')] })],
    addresses: 'fd00::1',
    want6: 'fd00::1 on eth0 mtu 1500, on link: fd00::1/128',
  },
  {
    why: 'an address of lo: every link may be the way, and the smallest decides',
    links: [link('lo', '10.5.0.1/32'), eth0, link('eth1', '10.7.0.1/16', { mtuBytes: 1400 })],
    addresses: '10.5.0.1',
    want4: '10.5.0.1 on lo mtu 1400, on link: ',
  },
  {
    why: 'our own device is not a way to itself',
    links: [lo, link('tulle.1', '10.0.0.1/32')],
    addresses: '10.0.0.1',
    problem: /none of the addresses of node a \(10\.0\.0\.1\) is on a link .* \(no address\)/,
  },
  {
    why: 'a link that is down is none',
    links: [lo, { ...eth0, isUp: false }],
    addresses: '10.0.0.1',
    problem: /^Cannot find this node's way out: none of the addresses of node a/,
  },
  {
    why: 'another host',
    links: [lo, eth0],
    addresses: '10.0.0.9',
    problem:
      /\(10\.0\.0\.9\) is on .* \(10\.0\.0\.1\/24 on eth0, .*\); correct the node's addresses/,
  },
  { why: 'no address', links: [lo, eth0], addresses: '', problem: /of node a \(none\)/ },
])
  test(`selfOf, ${why}`, async (t) => {
    const found = selfOf(node('a', addresses, '10.1.1.7/24', { mode: 'vxlan' }), { links })
    if (problem || 'problem' in found) {
      t.match('problem' in found ? found.problem : 'no problem', problem ?? /no problem/)
      return
    }
    t.equal(lineOf(found.underlay[4]), want4)
    t.equal(lineOf(found.underlay[6]), want6)
    t.match(found, { name: 'a', podCIDRs: [prefix('10.1.1.0/24')], mode: 'vxlan' })
  })
