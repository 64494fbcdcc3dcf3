import fc from 'fast-check'
import { test } from 'tap'
import type { ClusterNode, FlannelVtep } from '../../src/cluster/node.ts'
import { keyOf } from '../../src/overlay/difference.ts'
import type { Self } from '../../src/overlay/fabric.ts'
import type { OverlayOptions } from '../../src/overlay/options.ts'
import { modeBetween, weavePeer } from '../../src/overlay/peer.ts'
import { holds } from '../base/law.ts'
import { address } from '../wire/values.ts'
import {
  anyNode,
  anyOptions,
  anySelf,
  lineOf,
  node,
  options,
  selfWith,
  withMode,
} from './values.ts'

const near = node('b', '10.0.0.2 fd00::2', '10.1.2.0/24 fd01:2::/64')
const far = node('b', '10.9.0.2 fd09::2', '10.1.2.0/24 fd01:2::/64')
const vtep: FlannelVtep = {
  family: 4,
  address: address('192.0.2.7'),
  mac: '0E:00:00:00:00:07',
  vni: 1,
}

type Row = Readonly<{
  why: string
  self?: Self
  node: ClusterNode
  options?: OverlayOptions
  want: readonly string[]
  problem?: RegExp
}>

const direct4 = 'route 10.1.2.0/24 via 10.0.0.2 dev eth0 src 10.0.0.1'
const direct6 = 'route fd01:2::/64 via fd00::2 dev eth0 src fd00::1'
const tunnel4 = [
  'fdb 02:74:0a:09:00:02 dst 10.9.0.2 dev tulle.1',
  'neighbour 10.1.2.0 lladdr 02:74:0a:09:00:02 dev tulle.1',
  'route 10.1.2.0/24 via 10.1.2.0 dev tulle.1 onlink src 10.1.1.0',
]
/** Of 02:74:0a:09:00:02. */
const farLocal = 'fe80::74:aff:fe09:2'
const onTunnel4 = [
  `neighbour ${farLocal} lladdr 02:74:0a:09:00:02 dev tulle.1`,
  `route fd01:2::/64 via ${farLocal} dev tulle.1 onlink src fd01:1::`,
]
const nearMac = '02:74:0a:00:00:02'
/** The hash of fd09::2, as `tunnelMac` is shown to make it in device.test.ts. */
const farMac6 = 'be:07:98:9f:e8:25'
const farLocal6 = 'fe80::bc07:98ff:fe9f:e825'
const rows: readonly Row[] = [
  { why: 'on the same link: plain routes', node: near, want: [direct4, direct6] },
  {
    why: 'behind a router: tunnels, each over its own family',
    node: far,
    want: [
      ...tunnel4,
      `fdb ${farMac6} dst fd09::2 dev tulle-v6.1`,
      `neighbour ${farLocal6} lladdr ${farMac6} dev tulle-v6.1`,
      `route fd01:2::/64 via ${farLocal6} dev tulle-v6.1 onlink src fd01:1::`,
    ],
  },
  {
    why: 'one family on the link, the other behind a router',
    node: node('b', '10.0.0.2 fd09::2', '10.1.2.0/24 fd01:2::/64'),
    want: [
      direct4,
      `fdb ${farMac6} dst fd09::2 dev tulle-v6.1`,
      `neighbour ${farLocal6} lladdr ${farMac6} dev tulle-v6.1`,
      `route fd01:2::/64 via ${farLocal6} dev tulle-v6.1 onlink src fd01:1::`,
    ],
  },
  {
    why: 'IPv6 pods ride the IPv4 tunnel where this node has nothing else',
    self: selfWith('4'),
    node: far,
    want: [...tunnel4, ...onTunnel4],
  },
  {
    why: '… and where the other has nothing else',
    node: node('b', '10.9.0.2', '10.1.2.0/24 fd01:2::/64'),
    want: [...tunnel4, ...onTunnel4],
  },
  {
    why: 'IPv4 pods ride the IPv6 tunnel where there is nothing else',
    self: selfWith('6'),
    node: node('b', 'fd09::2', '10.1.2.0/24'),
    want: [
      `fdb ${farMac6} dst fd09::2 dev tulle-v6.1`,
      `neighbour 10.1.2.0 lladdr ${farMac6} dev tulle-v6.1`,
      'route 10.1.2.0/24 via 10.1.2.0 dev tulle-v6.1 onlink src 10.1.1.0',
    ],
  },
  {
    why: 'no common family',
    self: selfWith('4'),
    node: node('b', 'fd09::2', '10.1.2.0/24'),
    want: [],
    problem: /^Cannot route 10\.1\.2\.0\/24 to node b: this node has IPv4 .* addresses fd09::2$/,
  },
  {
    why: 'vxlan for all',
    self: selfWith('4'),
    node: node('b', '10.0.0.2', '10.1.2.0/24'),
    options: withMode('vxlan'),
    want: [
      `fdb ${nearMac} dst 10.0.0.2 dev tulle.1`,
      `neighbour 10.1.2.0 lladdr ${nearMac} dev tulle.1`,
      'route 10.1.2.0/24 via 10.1.2.0 dev tulle.1 onlink src 10.1.1.0',
    ],
  },
  {
    why: 'direct to a node that is not on the link: told, not broken',
    self: selfWith('4'),
    node: node('b', '10.9.0.2', '10.1.2.0/24', { mode: 'direct' }),
    want: [],
    problem:
      /directly to node b: 10\.9\.0\.2 is not on the link eth0 \(its networks: 10\.0\.0\.0\/24\)/,
  },
  {
    why: 'direct is refused for one family, and done for the other',
    node: node('b', '10.0.0.2', '10.1.2.0/24 fd01:2::/64', { mode: 'direct' }),
    want: [direct4],
    problem: /fd01:2::\/64 directly to node b: that has no IPv6 address; use mode auto or vxlan/,
  },
  { why: 'this node itself', node: node('a', '10.0.0.1', '10.1.1.0/24'), want: [] },
  { why: 'no podCIDR yet', node: node('b', '10.0.0.2', ''), want: [] },
  {
    why: 'host bits of a podCIDR are cleared',
    self: selfWith('4'),
    node: node('b', '10.0.0.2', '10.1.2.7/24'),
    want: [direct4],
  },
  {
    why: "a podCIDR inside this node's own would shadow its pods",
    node: node('b', '10.0.0.2', '10.1.1.128/25'),
    want: [],
    problem: /10\.1\.1\.128\/25 to node b: it overlaps 10\.1\.1\.0\/24 of this node/,
  },
  {
    why: "this node's address",
    node: node('b', '10.0.0.1', '10.1.2.0/24'),
    want: [],
    problem: /its address 10\.0\.0\.1 is this node's too/,
  },
  {
    why: 'a podCIDR that holds the tunnel end would be a loop',
    node: node('b', '10.9.0.2', '10.9.0.0/16'),
    want: [],
    problem: /it holds 10\.9\.0\.2, a node's own address/,
  },
  {
    why: 'a Flannel node: its own MAC and address, never a plain route unasked',
    node: node('b', '10.0.0.7', '10.1.2.0/24', { flannel: [vtep] }),
    want: [
      'fdb 0e:00:00:00:00:07 dst 192.0.2.7 dev tulle.1',
      'neighbour 10.1.2.0 lladdr 0e:00:00:00:00:07 dev tulle.1',
      'route 10.1.2.0/24 via 10.1.2.0 dev tulle.1 onlink src 10.1.1.0',
    ],
  },
  {
    why: 'Flannel has no tunnel of the other family',
    node: node('b', '10.0.0.7', 'fd01:2::/64', { flannel: [vtep] }),
    want: [],
    problem: /Flannel has no IPv6 tunnel with us/,
  },
  {
    why: 'another VNI',
    node: node('b', '10.0.0.7', '10.1.2.0/24', { flannel: [{ ...vtep, vni: 9 }] }),
    want: [],
    problem: /its VNI is 9, ours 1/,
  },
  {
    why: 'two networks of one family share the tunnel end',
    node: node('b', '10.9.0.2', '10.1.2.0/24 10.1.3.0/24'),
    want: [
      ...tunnel4,
      'neighbour 10.1.3.0 lladdr 02:74:0a:09:00:02 dev tulle.1',
      'route 10.1.3.0/24 via 10.1.3.0 dev tulle.1 onlink src 10.1.1.0',
    ],
  },
]
for (const { why, self = selfWith('46'), node: peer, options: asked = options, ...row } of rows)
  test(`weavePeer, ${why}`, async (t) => {
    const woven = weavePeer(self, peer, asked)
    t.strictSame(woven.entries.map(lineOf), row.want)
    if (row.problem) t.match(woven.problem, row.problem)
    else t.equal(woven.problem, undefined)
  })

for (const [mine, theirs, all, want] of [
  [undefined, undefined, 'auto', 'auto'],
  [undefined, undefined, 'vxlan', 'vxlan'],
  ['vxlan', 'direct', 'auto', 'vxlan'],
  [undefined, 'direct', 'vxlan', 'direct'],
  ['auto', undefined, 'direct', 'auto'],
  ['vxlan', undefined, 'direct', 'vxlan'],
] as const)
  test(`mode ${want}: this node ${mine}, that one ${theirs}, all ${all}; either way`, async (t) => {
    const [one, other] = [mine ? { mode: mine } : {}, theirs ? { mode: theirs } : {}]
    t.equal(modeBetween(one, other, withMode(all)), want)
    t.equal(modeBetween(other, one, withMode(all)), want)
  })

test('weavePeer: none for this node, one a key, a way or a problem each', async (t) => {
  const law = fc.property(anySelf, anyNode, anyOptions, (self, peer, asked) => {
    const { entries, ways, problem } = weavePeer(self, peer, asked)
    const routes = entries.flatMap((entry) => (entry.kind === 'route' ? [entry] : []))
    const links = new Set(entries.map(({ link }) => link))
    const ended = new Set(entries.flatMap((one) => (one.kind === 'fdb' ? [one.mac] : [])))
    return (
      (peer.name !== self.name || entries.length === 0) &&
      new Set(entries.map(keyOf)).size === entries.length &&
      routes.length === ways.length &&
      (ways.length === peer.podCIDRs.length || problem !== undefined || peer.name === self.name) &&
      (self.underlay[4] !== undefined || !links.has('tulle.1')) &&
      (self.underlay[6] !== undefined || !links.has('tulle-v6.1')) &&
      entries.every((one) => one.kind !== 'neighbour' || ended.has(one.mac))
    )
  })
  holds(t, law)
})
