import { test } from 'tap'
import { formatPrefix } from '../../src/base/prefix.ts'
import { parseConfig } from '../../src/cni/config.ts'
import { CniFault } from '../../src/cni/fault.ts'
import type { HostView } from '../../src/overlay/self.ts'
import { type Overlay, readOverlay, withRanges } from '../../src/plugin/overlay-config.ts'
import type { Json } from '../support/cni.ts'
import { prefix } from '../wire/values.ts'

const host: HostView = {
  links: [
    { name: 'lo', mtuBytes: 65536, isUp: true, addresses: [prefix('127.0.0.1/8')] },
    { name: 'eth0', mtuBytes: 1500, isUp: true, addresses: [prefix('192.0.2.11/24')] },
  ],
}
const a = { name: 'a', address: '192.0.2.11', podCIDRs: ['10.244.1.0/24', 'fd00:1::/64'] }
const b = { name: 'b', address: '192.0.2.12', podCIDRs: ['10.244.2.0/24'] }

const confOf = (overlay: Json, ipam: Json = {}): string =>
  JSON.stringify({
    cniVersion: '1.1.0',
    name: 'net',
    type: 'tulle',
    ipam: { type: 'host-local', ...ipam },
    overlay: { type: 'vxlan', nodes: [a, b], ...overlay },
  })

function read(text: string): { overlay: Overlay; ranges: unknown } {
  const config = parseConfig(text)
  if (!config.overlay) throw new Error('no overlay')
  const overlay = readOverlay(config.overlay, host)
  return { overlay, ranges: withRanges(config, overlay).ipam?.ranges }
}

function faultOf(text: string): string {
  try {
    read(text)
    return 'none'
  } catch (refusal) {
    if (!(refusal instanceof CniFault)) throw refusal
    return `${refusal.fault.code} ${refusal.fault.details}`
  }
}

test('the node whose address this host has; its podCIDRs are the ranges; defaults', async (t) => {
  const { overlay, ranges } = read(confOf({}))
  t.equal(overlay.self.name, 'a')
  t.strictSame(overlay.options, { mode: 'auto', vni: 1, port: 8472 })
  t.strictSame(ranges, [[{ subnet: '10.244.1.0/24' }], [{ subnet: 'fd00:1::/64' }]])
  t.strictSame(overlay.cluster.map(formatPrefix), ['10.244.1.0/24', '10.244.2.0/24', 'fd00:1::/64'])
})

test('every key is read', async (t) => {
  const { overlay, ranges } = read(
    confOf(
      {
        mode: 'vxlan',
        vni: 7,
        port: 4789,
        mtu: 1400,
        node: 'a',
        nodes: [{ ...a, address: undefined, addresses: ['192.0.2.11'], mode: 'direct' }, b],
      },
      { ranges: [[{ subnet: '10.244.1.128/25' }]] },
    ),
  )
  t.strictSame(overlay.options, { mode: 'vxlan', vni: 7, port: 4789, mtuBytes: 1400 })
  t.equal(overlay.self.mode, 'direct')
  t.equal(JSON.stringify(ranges), '[[{"subnet":"10.244.1.128/25"}]]')
})

for (const { why, overlay = {}, ipam = {}, want } of [
  {
    why: 'this host is in none',
    overlay: { nodes: [b] },
    want: /^7 overlay\.nodes: no node has an address of this host \(.* 192\.0\.2\.11\); /,
  },
  {
    why: 'this host is in two',
    overlay: {
      nodes: [
        { ...a, addresses: ['192.0.2.11'] },
        { ...b, address: '192.0.2.11' },
      ],
    },
    want: /^7 overlay\.nodes: Address 192\.0\.2\.11 is that of several nodes \(a, b\)/,
  },
  {
    why: 'a name twice',
    overlay: { nodes: [a, { ...b, name: 'a' }] },
    want: /two nodes are called "a"/,
  },
  {
    why: 'its name is not in the list',
    overlay: { node: 'x' },
    want: /^7 overlay: node is "x"; accepted: the name of one of its nodes/,
  },
  {
    why: 'its name is another host',
    overlay: { node: 'b' },
    want: /^106 Cannot find this node's way out: none of the addresses of node b \(192\.0\.2\.12\)/,
  },
  {
    why: 'podCIDRs overlap',
    overlay: { nodes: [a, { ...b, podCIDRs: ['10.244.1.128/25'] }] },
    want: /podCIDR 10\.244\.1\.0\/24 of node a overlaps 10\.244\.1\.128\/25 of node b/,
  },
  {
    why: "a node's address is a pod's",
    overlay: { nodes: [a, { ...b, podCIDRs: ['192.0.2.0/24'] }] },
    want: /Address 192\.0\.2\.11 of node a is inside podCIDR 192\.0\.2\.0\/24 of node b/,
  },
  {
    why: 'an odd address',
    overlay: { nodes: [a, { ...b, address: '192.0.2.300' }] },
    want: /overlay\.nodes\[1\]\.address: "192\.0\.2\.300"; accepted: an IP address/,
  },
  {
    why: 'no address',
    overlay: { nodes: [a, { ...b, address: undefined }] },
    want: /overlay\.nodes\[1\]\.address: absent/,
  },
  {
    why: 'an odd podCIDR',
    overlay: { nodes: [a, { ...b, podCIDRs: ['10.244.2.0'] }] },
    want: /overlay\.nodes\[1\]\.podCIDRs\[0\]: "10\.244\.2\.0"; accepted: a network/,
  },
  {
    why: 'everything as podCIDR',
    overlay: { nodes: [a, { ...b, podCIDRs: ['0.0.0.0/0'] }] },
    want: /podCIDRs\[0\]: "0\.0\.0\.0\/0"/,
  },
  {
    why: 'no podCIDR',
    overlay: { nodes: [a, { ...b, podCIDRs: [] }] },
    want: /overlay\.nodes\[1\]\.podCIDRs is \[\]; accepted: a non-empty list/,
  },
  {
    why: 'no node',
    overlay: { nodes: [] },
    want: /overlay\.nodes is \[\]; accepted: a non-empty list of nodes/,
  },
  {
    why: 'another type',
    overlay: { type: 'geneve' },
    want: /overlay\.type is "geneve"; accepted: "vxlan"/,
  },
  {
    why: 'a mode that is none',
    overlay: { mode: 'bgp' },
    want: /overlay\.mode is "bgp"; accepted: "auto", "vxlan" or "direct"/,
  },
  {
    why: 'VNI 0',
    overlay: { vni: 0 },
    want: /overlay\.vni is 0; accepted: a VXLAN network identifier/,
  },
  { why: 'port 0', overlay: { port: 0 }, want: /overlay\.port is 0; accepted: a UDP port/ },
  { why: 'an MTU as text', overlay: { mtu: '1400' }, want: /overlay\.mtu is "1400"/ },
  {
    why: 'ranges of another node',
    ipam: { ranges: [[{ subnet: '10.244.2.0/25' }]] },
    want: /10\.244\.2\.0\/25 is outside the podCIDRs of node a \(10\.244\.1\.0\/24, fd00:1::\/64\)/,
  },
  {
    why: 'a range that is wider',
    ipam: { subnet: '10.244.0.0/16' },
    want: /10\.244\.0\.0\/16 is outside the podCIDRs/,
  },
])
  test(`refused: ${why}`, async (t) => {
    t.match(faultOf(confOf(overlay, ipam)), want)
  })
