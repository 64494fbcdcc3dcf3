import fc from 'fast-check'
import { test } from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import { decodeNode } from '../../src/cluster/decode-node.ts'
import { flannelAnnotations } from '../../src/cluster/flannel.ts'
import type { FlannelVtep } from '../../src/cluster/node.ts'
import { holds } from '../base/law.ts'

const end = (family: 4 | 6, address: string): FlannelVtep => ({
  family,
  address: parseAddress(address)!,
  mac: '02:74:0a:00:00:05',
  vni: 1,
})

// What flanneld 0.28 itself writes for such a device, key order and blanks included: its peers
// compare the text.
test('Flannel’s annotations, of both families', async (t) => {
  t.same(flannelAnnotations([end(4, '10.0.0.5'), end(6, 'fd00::5')], {}), {
    'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
    'flannel.alpha.coreos.com/backend-type': 'vxlan',
    'flannel.alpha.coreos.com/backend-data': '{"VNI":1,"VtepMAC":"02:74:0a:00:00:05"}',
    'flannel.alpha.coreos.com/public-ip': '10.0.0.5',
    'flannel.alpha.coreos.com/backend-v6-data': '{"VNI":1,"VtepMAC":"02:74:0a:00:00:05"}',
    'flannel.alpha.coreos.com/public-ipv6': 'fd00::5',
  })
})

for (const { why, overwrite, want } of [
  { why: 'an address that a person gave', overwrite: '192.0.2.1', want: '192.0.2.1' },
  { why: 'none of the other family', overwrite: 'fd00::1', want: '10.0.0.5' },
  { why: 'nothing that is no address', overwrite: 'auto', want: '10.0.0.5' },
  { why: 'nothing that is no text', overwrite: 7, want: '10.0.0.5' },
])
  test(`public-ip-overwrite: ${why}`, async (t) => {
    const present = { 'flannel.alpha.coreos.com/public-ip-overwrite': overwrite }
    const written = flannelAnnotations([end(4, '10.0.0.5')], present)
    t.equal(written['flannel.alpha.coreos.com/public-ip'], want)
  })

test('what is written is what is read', async (t) => {
  const hex = fc.integer({ min: 0, max: 255 }).map((byte) => byte.toString(16).padStart(2, '0'))
  const vtep = fc.record({
    family: fc.constant<4 | 6>(4),
    address: fc.nat().map((value) => ({ family: 4 as const, value: BigInt(value) })),
    mac: fc.array(hex, { minLength: 5, maxLength: 5 }).map((bytes) => `02:${bytes.join(':')}`),
    vni: fc.integer({ min: 1, max: 2 ** 24 - 1 }),
  })
  const property = fc.property(vtep, (given) => {
    const object = { metadata: { name: 'a', annotations: flannelAnnotations([given], {}) } }
    const { node, problems } = decodeNode(object, { flannelCompat: true })
    const [read] = node?.flannel ?? []
    const same = read?.address.value === given.address.value && read?.mac === given.mac
    return problems.length === 0 && same && read?.vni === given.vni
  })
  return holds(t, property)
})
