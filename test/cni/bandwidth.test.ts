import fc from 'fast-check'
import { test } from 'tap'
import { formatPrefix } from '../../src/base/prefix.ts'
import { readBandwidth } from '../../src/cni/bandwidth.ts'
import { parseConfig } from '../../src/cni/config.ts'
import { holds } from '../base/law.ts'
import { faultOf } from '../support/fault-of.ts'

const read = (keys: object) => readBandwidth(parseConfig(JSON.stringify({ name: 'net', ...keys })))
const runtime = (bandwidth: object) => ({ runtimeConfig: { bandwidth } })
const annotated = (annotations: object) => ({
  runtimeConfig: { 'io.kubernetes.cri.pod-annotations': annotations },
})

for (const { why, keys, ingress = null, egress = null } of [
  {
    why: 'containerd’s keys, and the burst that it always sends',
    keys: { runtimeConfig: { bandwidth: { IngressRate: 1e6, IngressBurst: 4294967295 } } },
    ingress: { rateBits: 1e6, burstBits: null },
  },
  {
    why: 'CRI-O’s burst',
    keys: runtime({ egressRate: 1e6, egressBurst: 34359738359 }),
    egress: { rateBits: 1e6, burstBits: null },
  },
  {
    why: 'a burst that somebody chose',
    keys: runtime({ egressRate: 1e6, egressBurst: 4294967294 }),
    egress: { rateBits: 1e6, burstBits: 4294967294 },
  },
  {
    why: 'a rate without a burst',
    keys: { ingressRate: 1e6 },
    ingress: { rateBits: 1e6, burstBits: null },
  },
  {
    why: 'the configuration wins over the runtime',
    keys: { ingressRate: 1e6, ingressBurst: 2e6, ...runtime({ ingressRate: 5, ingressBurst: 5 }) },
    ingress: { rateBits: 1e6, burstBits: 2e6 },
  },
  {
    why: 'in its own direction only: the runtime’s other limit is not lost',
    keys: { ingressRate: 1e6, ...runtime({ egressRate: 7e6 }) },
    ingress: { rateBits: 1e6, burstBits: null },
    egress: { rateBits: 7e6, burstBits: null },
  },
  {
    why: 'annotations, where the runtime has not read them',
    keys: annotated({
      'kubernetes.io/ingress-bandwidth': '10M',
      'kubernetes.io/egress-bandwidth': '512k',
      other: 'text',
    }),
    ingress: { rateBits: 10e6, burstBits: null },
    egress: { rateBits: 512e3, burstBits: null },
  },
  {
    why: 'the capability wins over the annotation that it was made of',
    keys: {
      runtimeConfig: {
        bandwidth: { IngressRate: 3e6 },
        'io.kubernetes.cri.pod-annotations': { 'kubernetes.io/ingress-bandwidth': '10M' },
      },
    },
    ingress: { rateBits: 3e6, burstBits: null },
  },
])
  test(`asked: ${why}`, async (t) => {
    const found = read(keys)
    t.strictSame([found?.ingress, found?.egress], [ingress, egress])
  })

for (const { why, keys } of [
  { why: 'no keys', keys: {} },
  {
    why: 'zeros, as Go writes what is not there',
    keys: runtime({ IngressRate: 0, EgressBurst: 0 }),
  },
  { why: 'null', keys: { runtimeConfig: { bandwidth: null } } },
  { why: 'subnets without a rate', keys: { unshapedSubnets: ['10.0.0.0/8'] } },
  { why: 'a latency without a rate', keys: { bandwidthLatencyMilliseconds: 5 } },
  { why: 'other annotations', keys: annotated({ a: 'b' }) },
])
  test(`nothing is asked by ${why}`, async (t) => t.equal(read(keys), null))

const annotation = 'runtimeConfig["io.kubernetes.cri.pod-annotations"]'
for (const { why, keys, says } of [
  {
    why: 'a burst without a rate',
    keys: { ingressBurst: 5 },
    says: 'ingressBurst is 5; accepted: 0, unless there is a ingressRate',
  },
  {
    why: 'the same of the runtime, under a rate of the configuration’s other direction',
    keys: { ingressRate: 1e6, ...runtime({ egressBurst: 5 }) },
    says: 'runtimeConfig.bandwidth.egressBurst is 5; accepted: 0, unless there is a egressRate',
  },
  {
    why: 'an annotation that is no quantity',
    keys: annotated({ 'kubernetes.io/egress-bandwidth': '10 Mbit' }),
    says: `${annotation}["kubernetes.io/egress-bandwidth"] is "10 Mbit"`,
  },
  {
    why: 'an annotation below what Kubernetes takes',
    keys: annotated({ 'kubernetes.io/egress-bandwidth': '999' }),
    says: `${annotation}["kubernetes.io/egress-bandwidth"] is "999"`,
  },
  {
    why: 'an annotation above it',
    keys: annotated({ 'kubernetes.io/egress-bandwidth': '1.1P' }),
    says: `${annotation}["kubernetes.io/egress-bandwidth"] is "1.1P"`,
  },
  {
    why: 'an annotation that is no text',
    keys: annotated({ 'kubernetes.io/ingress-bandwidth': 5 }),
    says: 'kubernetes.io/ingress-bandwidth is 5',
  },
  {
    why: 'both lists of subnets',
    keys: { egressRate: 1e6, unshapedSubnets: ['10.0.0.0/8'], shapedSubnets: ['fd00::/8'] },
    says: 'shapedSubnets is ["fd00::/8"]; accepted: absent, as there are unshapedSubnets',
  },
  {
    why: 'a subnet that is none',
    keys: { egressRate: 1e6, unshapedSubnets: ['10.0.0.0/8', '10.0.0.0/33'] },
    says: 'unshapedSubnets[1] is "10.0.0.0/33"',
  },
  {
    why: 'more subnets than a packet should be held against',
    keys: { egressRate: 1e6, shapedSubnets: Array.from({ length: 257 }, () => '10.0.0.0/8') },
    says: 'shapedSubnets is "257 networks"; accepted: 256 networks at most',
  },
])
  test(`refused: ${why}`, async (t) => {
    const fault = faultOf(() => read(keys))
    t.equal(fault.code, 7)
    t.ok(fault.details.includes(says), fault.details)
  })

test('subnets and latency', async (t) => {
  const found = read({
    bandwidthLatencyMilliseconds: 50,
    unshapedSubnets: ['10.0.0.0/8'],
    ...runtime({ EgressRate: 1e6, ShapedSubnets: ['fd00::/8'] }),
  })
  t.equal(found?.latencyMilliseconds, 50)
  t.equal(found?.subnets.kind, 'unshaped', 'the configuration’s list wins')
  t.strictSame(found?.subnets.prefixes.map(formatPrefix), ['10.0.0.0/8'])
  const other = read(runtime({ EgressRate: 1e6, ShapedSubnets: ['fd00::/8'] }))
  t.strictSame(other?.subnets.prefixes.map(formatPrefix), ['fd00::/8'])
  t.strictSame([other?.subnets.kind, other?.latencyMilliseconds], ['shaped', 25])
})

test('every rate and burst in range is taken as it is, in either spelling', async (t) => {
  const rate = fc.integer({ min: 1, max: 1e15 })
  const burst = fc.integer({ min: 1, max: 0xffff_fffe })
  const spelling = fc.constantFrom('ingress', 'Ingress', 'INGRESS')
  const property = fc.property(rate, burst, spelling, (rateBits, burstBits, word) => {
    const found = read(runtime({ [`${word}Rate`]: rateBits, [`${word}Burst`]: burstBits }))
    return found?.ingress?.rateBits === rateBits && found.ingress.burstBits === burstBits
  })
  return holds(t, property)
})
