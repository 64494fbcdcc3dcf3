import fc from 'fast-check'
import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { formatPrefix } from '../../src/base/prefix.ts'
import { decodeNode } from '../../src/cluster/decode-node.ts'
import { sameNode } from '../../src/cluster/node.ts'
import { holds } from '../base/law.ts'

const options = { flannelCompat: true }
const internal = (address: unknown) => ({ type: 'InternalIP', address })
const external = (address: unknown) => ({ type: 'ExternalIP', address })
const nodeWith = (parts: { spec?: unknown; addresses?: unknown; annotations?: unknown }) => ({
  metadata: { name: 'a', annotations: parts.annotations },
  spec: parts.spec,
  status: { addresses: parts.addresses },
})

/** A node as text, so that rows can be read. */
function decoded(object: unknown, { flannelCompat } = options) {
  const { node, problems } = decodeNode(object, { flannelCompat })
  return {
    addresses: node?.addresses.map(formatAddress),
    podCIDRs: node?.podCIDRs.map(formatPrefix),
    ...(node?.mode === undefined ? {} : { mode: node.mode }),
    ...(node?.flannel === undefined
      ? {}
      : { flannel: node.flannel.map((end) => ({ ...end, address: formatAddress(end.address) })) }),
    problems: problems.length,
  }
}

const bare = { addresses: [], podCIDRs: [], problems: 0 }

for (const { why, object, want } of [
  { why: 'a node that has only just joined', object: nodeWith({}), want: bare },
  {
    why: 'podCIDRs of two families',
    object: nodeWith({
      spec: { podCIDR: '10.1.0.0/24', podCIDRs: ['10.1.0.0/24', 'fd00:1::/64'] },
    }),
    want: { ...bare, podCIDRs: ['10.1.0.0/24', 'fd00:1::/64'] },
  },
  {
    why: 'the older single podCIDR',
    object: nodeWith({ spec: { podCIDR: '10.1.0.0/24' } }),
    want: { ...bare, podCIDRs: ['10.1.0.0/24'] },
  },
  {
    why: 'host bits, which the kernel would refuse in a route',
    object: nodeWith({ spec: { podCIDRs: ['10.1.0.7/24'] } }),
    want: { ...bare, podCIDRs: ['10.1.0.0/24'] },
  },
  {
    why: 'one podCIDR is wrong: the other one counts',
    object: nodeWith({ spec: { podCIDRs: ['10.1.0.0/33', 'fd00:1::/64', 7] } }),
    want: { ...bare, podCIDRs: ['fd00:1::/64'], problems: 2 },
  },
  {
    why: 'InternalIPs in their order, Hostname is none',
    object: nodeWith({
      addresses: [{ type: 'Hostname', address: 'a' }, internal('10.0.0.2'), internal('10.0.0.1')],
    }),
    want: { ...bare, addresses: ['10.0.0.2', '10.0.0.1'] },
  },
  {
    why: 'ExternalIP stands in for a family without an InternalIP, and for no other',
    object: nodeWith({
      addresses: [external('192.0.2.1'), external('2001:db8::1'), internal('10.0.0.1')],
    }),
    want: { ...bare, addresses: ['10.0.0.1', '2001:db8::1'] },
  },
  {
    why: 'an address twice',
    object: nodeWith({ addresses: [internal('10.0.0.1'), internal('10.0.0.1')] }),
    want: { ...bare, addresses: ['10.0.0.1'] },
  },
  {
    why: 'an address that is none',
    object: nodeWith({ addresses: [internal('10.0.0.256'), internal(null), internal('10.0.0.1')] }),
    want: { ...bare, addresses: ['10.0.0.1'], problems: 2 },
  },
  {
    why: 'a mode',
    object: nodeWith({ annotations: { 'tulle.dev/route-mode': 'direct' } }),
    want: { ...bare, mode: 'direct' },
  },
  {
    why: 'an unknown mode is told, and the node keeps its routes',
    object: nodeWith({
      annotations: { 'tulle.dev/route-mode': 'fast' },
      spec: { podCIDR: '10.1.0.0/24' },
    }),
    want: { ...bare, podCIDRs: ['10.1.0.0/24'], problems: 1 },
  },
  {
    why: 'more addresses than any node has',
    object: nodeWith({ addresses: Array.from({ length: 99 }, () => internal('10.0.0.1')) }),
    want: { ...bare, addresses: ['10.0.0.1'], problems: 1 },
  },
])
  test(`decodeNode: ${why}`, async (t) => t.same(decoded(object), want))

for (const { why, object } of [
  { why: 'nothing', object: undefined },
  { why: 'a list', object: [] },
  { why: 'a name that is no text', object: { metadata: { name: 7 } } },
  { why: 'a name that no Node can have', object: { metadata: { name: '../../etc' } } },
  { why: 'a name of a megabyte', object: { metadata: { name: 'a'.repeat(2 ** 20) } } },
])
  test(`decodeNode finds no node in ${why}`, async (t) => {
    const { node, problems } = decodeNode(object, options)
    t.equal(node, undefined)
    t.equal(problems.length, 1)
    t.ok((problems[0]?.length ?? 0) < 200)
  })

// As flanneld 0.28 writes them (pkg/subnet/kube, backend/vxlan).
const flannel = {
  'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
  'flannel.alpha.coreos.com/backend-type': 'vxlan',
  'flannel.alpha.coreos.com/backend-data': '{"VNI":1,"VtepMAC":"D6:9a:00:00:00:01"}',
  'flannel.alpha.coreos.com/public-ip': '192.168.1.11',
}
const end4 = { family: 4, address: '192.168.1.11', mac: 'd6:9a:00:00:00:01', vni: 1 }

for (const { why, annotations, want, compat = true } of [
  { why: 'its tunnel end', annotations: flannel, want: { ...bare, flannel: [end4] } },
  { why: 'nothing unless it is asked for', annotations: flannel, want: bare, compat: false },
  {
    why: 'both families',
    annotations: {
      ...flannel,
      'flannel.alpha.coreos.com/backend-v6-data': '{"VNI":1,"VtepMAC":"d6:9a:00:00:00:02"}',
      'flannel.alpha.coreos.com/public-ipv6': 'fd00::11',
    },
    want: {
      ...bare,
      flannel: [end4, { family: 6, address: 'fd00::11', mac: 'd6:9a:00:00:00:02', vni: 1 }],
    },
  },
  {
    why: 'nothing of a node with another backend',
    annotations: { ...flannel, 'flannel.alpha.coreos.com/backend-type': 'host-gw' },
    want: bare,
  },
  {
    why: 'nothing of a node that Flannel does not manage',
    annotations: { ...flannel, 'flannel.alpha.coreos.com/kube-subnet-manager': 'false' },
    want: bare,
  },
  {
    why: 'no end without a MAC',
    annotations: { ...flannel, 'flannel.alpha.coreos.com/backend-data': '{"VNI":1}' },
    want: { ...bare, problems: 1 },
  },
  {
    why: 'no end with data that are no JSON',
    annotations: { ...flannel, 'flannel.alpha.coreos.com/backend-data': '{' },
    want: { ...bare, problems: 1 },
  },
  {
    why: 'no end with a VNI that has no 24 bits',
    annotations: {
      ...flannel,
      'flannel.alpha.coreos.com/backend-data': '{"VNI":16777216,"VtepMAC":"d6:9a:00:00:00:01"}',
    },
    want: { ...bare, problems: 1 },
  },
  {
    why: 'no end with an address of the other family',
    annotations: { ...flannel, 'flannel.alpha.coreos.com/public-ip': 'fd00::1' },
    want: { ...bare, problems: 1 },
  },
  {
    why: 'the family that Flannel does not use ("null")',
    annotations: { ...flannel, 'flannel.alpha.coreos.com/backend-v6-data': 'null' },
    want: { ...bare, flannel: [end4] },
  },
])
  test(`decodeNode reads of Flannel ${why}`, async (t) =>
    t.same(decoded(nodeWith({ annotations }), { flannelCompat: compat }), want))

test('whatever is in the object, decoding throws nothing and its messages are short', async (t) => {
  const odd = fc.anything({ maxDepth: 2 })
  const text = fc.constantFrom('10.0.0.1', '10.1.0.0/24', 'InternalIP', '__proto__', '', 'vxlan')
  const value = fc.oneof(odd, text)
  const object = fc.record({
    metadata: fc.oneof(
      odd,
      fc.record({
        name: fc.constantFrom('a', 'node-1.example'),
        annotations: fc.oneof(
          odd,
          fc.dictionary(fc.constantFrom(...Object.keys(flannel), 'tulle.dev/route-mode'), value),
        ),
      }),
    ),
    spec: fc.oneof(odd, fc.record({ podCIDR: value, podCIDRs: fc.oneof(odd, fc.array(value)) })),
    status: fc.oneof(
      odd,
      fc.record({
        addresses: fc.oneof(odd, fc.array(fc.record({ type: value, address: value }))),
      }),
    ),
  })
  const property = fc.property(fc.oneof(odd, object), (given) => {
    const { node, problems } = decodeNode(given, options)
    return (node !== undefined || problems.length > 0) && problems.join().length < 20_000
  })
  return holds(t, property, 2000)
})

test('what a node’s status tells besides is no difference', async (t) => {
  const object = nodeWith({ spec: { podCIDR: '10.1.0.0/24' }, addresses: [internal('10.0.0.1')] })
  const noisy = { ...object, status: { ...object.status, conditions: [1], images: ['x'] } }
  const [left, right] = [object, noisy].map((one) => decodeNode(one, options).node)
  t.ok(left && right && sameNode(left, right))
})
