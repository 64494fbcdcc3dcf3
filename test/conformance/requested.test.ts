import t from 'tap'
import {
  add,
  added,
  addressesOf,
  deleted,
  type Families,
  modes,
  netconf,
  refusalOf,
} from '../support/attachment.ts'
import type { Json } from '../support/cni.ts'
import { withHost } from '../support/host.ts'
import { leases } from '../support/leases.ts'
import { watchResidue } from '../support/residue.ts'
import { errorFaults } from '../support/shape.ts'

t.setTimeout(240_000)

type Row = Readonly<{
  why: string
  families?: Families
  keys?: Json
  ipam?: Json
  args?: string
}>
type Granted = Row & Readonly<{ addresses?: readonly RegExp[]; mac?: string }>
type Refused = Row & Readonly<{ code: number; says: string }>

const runtime = (runtimeConfig: Json): Json => ({ runtimeConfig })
const inArgs = (cni: Json): Json => ({ args: { cni } })
const annotations = 'io.kubernetes.cri.pod-annotations'
const annotated = (said: Json, more: Json = {}): Json => runtime({ [annotations]: said, ...more })
const macs = '02:aa:bb:cc:dd:'
const annotatedMac = `${macs}0a`
const exactly = (text: string): RegExp => new RegExp(`^${text.replaceAll('.', '\\.')}$`)

/** What containerd sends, its keys in one of the orders in which a Go map comes out. */
const kubernetes = [
  'K8S_POD_INFRA_CONTAINER_ID=abc',
  'K8S_POD_NAME=web-0',
  'IgnoreUnknown=1',
  'K8S_POD_UID=6b0b',
  'K8S_POD_NAMESPACE=default',
  'SOMETHING_NEW=x',
]
const turned = (by: number): string =>
  [...kubernetes.slice(by), ...kubernetes.slice(0, by), 'IP=10.77.0.60'].join(';')

const granted: readonly Granted[] = [
  {
    why: 'ips',
    keys: runtime({ ips: ['10.77.0.50'] }),
    addresses: [exactly('10.77.0.50')],
  },
  {
    why: 'ips with a prefix length, which host-local leaves unread',
    keys: runtime({ ips: ['10.77.0.50/16'] }),
    addresses: [exactly('10.77.0.50')],
  },
  { why: 'Ips', keys: runtime({ Ips: ['10.77.0.51'] }), addresses: [exactly('10.77.0.51')] },
  {
    why: 'args.cni.ips',
    keys: inArgs({ ips: ['10.77.0.52'] }),
    addresses: [exactly('10.77.0.52')],
  },
  { why: 'CNI_ARGS IP', args: 'IP=10.77.0.53', addresses: [exactly('10.77.0.53')] },
  { why: 'an empty IP', args: 'IP=;IgnoreUnknown=1', addresses: [/^10\.77\.0\./] },
  {
    why: 'ips for both families',
    families: 'dual',
    keys: runtime({ ips: ['fd00:77::abcd', '10.77.0.54'] }),
    addresses: [exactly('10.77.0.54'), exactly('fd00:77::abcd')],
  },
  {
    why: 'one family asked, the other free',
    families: 'dual',
    keys: runtime({ ips: ['fd00:77::abce'] }),
    addresses: [/^10\.77\.0\./, exactly('fd00:77::abce')],
  },
  {
    why: 'the three ways add up',
    families: 'dual',
    keys: inArgs({ ips: ['fd00:77::abcf'] }),
    args: 'IP=10.77.0.55',
    addresses: [exactly('10.77.0.55'), exactly('fd00:77::abcf')],
  },
  {
    why: 'an IPv6 address in another spelling',
    families: 'v6',
    keys: runtime({ ips: ['FD00:0077:0::00:0AA'] }),
    addresses: [exactly('fd00:77::aa')],
  },
  ...kubernetes.map((_, by) => ({
    why: `CNI_ARGS turned by ${by}`,
    args: turned(by),
    addresses: [exactly('10.77.0.60')],
  })),
  {
    why: 'ipRanges before the configured ones',
    keys: runtime({ ipRanges: [[{ subnet: '10.78.0.0/24', rangeStart: '10.78.0.9' }]] }),
    addresses: [exactly('10.78.0.9'), /^10\.77\.0\./],
  },
  {
    why: 'containerd’s IpRanges alone',
    keys: runtime({
      IpRanges: [[{ Subnet: '10.79.0.0/24', RangeStart: '10.79.0.20', RangeEnd: '10.79.0.30' }]],
    }),
    ipam: { ranges: undefined },
    addresses: [exactly('10.79.0.20')],
  },
  {
    why: 'keys in another case, as Go’s decoder takes them',
    ipam: { ranges: undefined, Ranges: [[{ SubNet: '10.80.0.0/24', RANGESTART: '10.80.0.7' }]] },
    addresses: [exactly('10.80.0.7')],
  },
  {
    why: 'an exact key goes before one in another case',
    ipam: { Ranges: [[{ subnet: '10.81.0.0/24' }]] },
    addresses: [/^10\.77\.0\./],
  },
  {
    why: 'an inline subnet comes before ranges',
    ipam: { subnet: '10.82.0.0/24', rangeStart: '10.82.0.5', gateway: '10.82.0.9' },
    addresses: [exactly('10.82.0.5'), /^10\.77\.0\./],
  },
  {
    why: 'mac',
    keys: runtime({ mac: '02:aa:bb:cc:dd:01' }),
    mac: '02:aa:bb:cc:dd:01',
  },
  { why: 'Mac, upper case', keys: runtime({ Mac: '02:AA:BB:CC:DD:02' }), mac: '02:aa:bb:cc:dd:02' },
  {
    why: 'args.cni.mac',
    keys: inArgs({ mac: '02:aa:bb:cc:dd:03' }),
    mac: '02:aa:bb:cc:dd:03',
  },
  {
    why: 'the pod’s annotations',
    families: 'dual',
    keys: annotated({ 'tulle.dev/ips': 'fd00:77::aaa, 10.77.0.61', 'tulle.dev/mac': annotatedMac }),
    addresses: [exactly('10.77.0.61'), exactly('fd00:77::aaa')],
    mac: annotatedMac,
  },
  {
    why: 'the annotated MAC before args.cni.mac, after the capability',
    keys: { ...annotated({ 'tulle.dev/mac': annotatedMac }), ...inArgs({ mac: `${macs}06` }) },
    mac: annotatedMac,
  },
  {
    why: 'the capabilities before the annotations',
    keys: annotated(
      { 'tulle.dev/ips': 'nonsense', 'tulle.dev/mac': 'nonsense' },
      { ips: ['10.77.0.62'], mac: `${macs}07` },
    ),
    addresses: [exactly('10.77.0.62')],
    mac: `${macs}07`,
  },
  { why: 'annotations of others', keys: annotated({ 'kubernetes.io/x': 'y' }) },
  { why: 'no annotations, as a nil map of Go', keys: runtime({ [annotations]: null }) },
  { why: 'aliases, as podman sends them', keys: runtime({ aliases: { net: ['web'] } }) },
  { why: 'aliases as a list', keys: runtime({ Aliases: ['web'] }) },
  { why: 'CNI_ARGS MAC', args: 'MAC=02:aa:bb:cc:dd:04', mac: '02:aa:bb:cc:dd:04' },
  {
    why: 'args.cni.mac before CNI_ARGS',
    keys: inArgs({ mac: '02:aa:bb:cc:dd:05' }),
    args: 'MAC=02:00:00:00:00:01',
    mac: '02:aa:bb:cc:dd:05',
  },
  {
    why: 'runtimeConfig.mac before both',
    keys: { ...inArgs({ mac: '02:00:00:00:00:02' }), ...runtime({ mac: '02:aa:bb:cc:dd:06' }) },
    args: 'MAC=02:00:00:00:00:01',
    mac: '02:aa:bb:cc:dd:06',
  },
]

const refused: readonly Refused[] = [
  { why: 'the gateway', keys: runtime({ ips: ['10.77.0.1'] }), code: 103, says: '10.77.0.1' },
  { why: 'outside', keys: runtime({ ips: ['10.99.0.1'] }), code: 103, says: '10.99.0.1' },
  { why: 'the network address', args: 'IP=10.77.0.0', code: 103, says: '10.77.0.0' },
  { why: 'the broadcast address', args: 'IP=10.77.0.255', code: 103, says: '10.77.0.255' },
  {
    why: 'outside rangeStart and rangeEnd',
    ipam: { ranges: [[{ subnet: '10.77.0.0/24', rangeEnd: '10.77.0.9' }]] },
    args: 'IP=10.77.0.10',
    code: 103,
    says: '10.77.0.10',
  },
  {
    why: 'two of one set: one is left over',
    keys: runtime({ ips: ['10.77.0.71', '10.77.0.72'] }),
    code: 103,
    says: '10.77.0.7',
  },
  {
    why: 'no address in an annotation',
    keys: annotated({ 'tulle.dev/ips': '10.77.0.300' }),
    code: 7,
    says: '"10.77.0.300" is no IP address (annotation tulle.dev/ips)',
  },
  {
    why: 'no MAC in an annotation',
    keys: annotated({ 'tulle.dev/mac': '01:00:5e:00:00:01' }),
    code: 7,
    says: 'annotation tulle.dev/mac is "01:00:5e:00:00:01"',
  },
  {
    why: 'an annotation that is no text',
    keys: annotated({ 'tulle.dev/mac': 1 }),
    code: 7,
    says: `runtimeConfig.${annotations}.tulle.dev/mac is 1; accepted: a string`,
  },
  { why: 'a family without range', args: 'IP=fd00:77::5', code: 103, says: 'fd00:77::5' },
  {
    why: 'already leased',
    keys: runtime({ ips: ['10.77.0.200'] }),
    code: 103,
    says: '10.77.0.200',
  },
]

for (const mode of modes) {
  t.test(`${mode}: requested and granted`, (t) =>
    withHost((host) => {
      for (const { why, families, keys, ipam, args, addresses, mac } of granted) {
        const pod = host.pod()
        const conf = netconf(host, {
          mode,
          families: families ?? 'v4',
          keys: { ...keys, forceAddress: mode === 'bridge' },
          ipam: ipam ?? {},
        })
        const left = watchResidue(host, [pod.netns])
        const extra = args === undefined ? {} : { args }
        const result = added(pod, conf, extra)
        const got = addressesOf(result)
        const wanted = addresses ?? [/^10\.77\.0\./]
        t.equal(got.length, wanted.length, `${why}: ${got}`)
        t.ok(
          wanted.every((pattern, index) => pattern.test(got[index] ?? '')),
          `${why}: ${got}`,
        )
        const shown = pod.netns.ipJson('addr', 'show', 'dev', 'eth0')[0]
        if (mac !== undefined) {
          t.same([shown?.address, result.interfaces?.at(-1)?.mac], [mac, mac], why)
        }
        t.ok(
          got.every((address) => JSON.stringify(shown).includes(`"${address}"`)),
          why,
        )
        deleted(pod, conf, extra)
        t.same(left(), [], why)
      }
    }),
  )

  t.test(`${mode}: requested and refused`, (t) =>
    withHost((host) => {
      const holder = host.pod()
      added(holder, netconf(host, { mode }), { args: 'IP=10.77.0.200' })
      const left = watchResidue(host, [])
      for (const { why, keys, ipam, args, code, says } of refused) {
        const conf = netconf(host, { mode, keys: keys ?? {}, ipam: ipam ?? {} })
        const ran = add(host.pod(), conf, args === undefined ? {} : { args })
        t.same(errorFaults(ran), [], why)
        t.equal(refusalOf(ran)?.code, code, why)
        t.ok(`${refusalOf(ran)?.msg} ${refusalOf(ran)?.details}`.includes(says), why)
      }
      const wrong = add(host.pod(), netconf(host, { mode }), { args: 'IP=10.77.0' })
      t.ok([4, 7, 103].includes(refusalOf(wrong)?.code ?? 0), `no address: ${wrong.stdout}`)
      t.same(left(), [], 'no lease is held by a refused ADD')
      t.equal(leases(host.dataDir).length, 1)
    }),
  )

  t.test(`${mode}: the MAC without a wish`, (t) =>
    withHost((host) => {
      const conf = netconf(host, { mode })
      const [one, two] = [host.pod(), host.pod()]
      const macOf = (result: ReturnType<typeof added>): string =>
        result.interfaces?.at(-1)?.mac ?? ''
      const first = macOf(added(one, conf))
      const other = macOf(added(two, conf))
      t.match(first, /^.[26ae]:/, 'locally administered, unicast')
      t.not(first, other)
      deleted(one, conf)
      t.equal(macOf(added(one, conf)), first, 'the same id gets the same MAC again')
    }),
  )
}
