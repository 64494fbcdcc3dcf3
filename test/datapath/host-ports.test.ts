import { test } from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import type { Extras } from '../../src/datapath/extras.ts'
import {
  forwardsOf,
  hostPortElements,
  isListenedOn,
  loopbackFamilies,
  type PortMapping,
  portOfElement,
} from '../../src/datapath/host-ports.ts'
import { inetTable, setsOf } from '../../src/datapath/ruleset.ts'

const web: PortMapping = { protocol: 'tcp', hostPort: 8080, containerPort: 80, hostIp: null }
const dual = ['10.1.0.5', '10.1.0.6', 'fd00::5']

const extrasOf = (
  ips: readonly string[],
  mappings: readonly PortMapping[],
  masquerade: 'returning' | 'all' | 'none' = 'returning',
): Extras => ({
  network: 'net',
  container: 'c1',
  ifname: 'eth0',
  plugin: 'tulle',
  ips,
  hostLink: 'tulA',
  bridge: 'cni0',
  hostPorts: { mappings, gate: 'cni0', masquerade, loopback: [], isGateOurs: false },
  shaping: null,
  tuning: null,
  isolation: null,
  isAccepted: false,
})

const shown = (extras: Extras): readonly string[] =>
  hostPortElements(extras).map((element) => {
    const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex')
    return `${element.set} ${hex(element.key)}${element.value ? ` : ${hex(element.value)}` : ''}`
  })

const cni0 = Buffer.from('cni0'.padEnd(16, '\0')).toString('hex')
const five6 = 'fd000000000000000000000000000005'

for (const { why, extras, want } of [
  {
    why: 'the first address of each family',
    extras: extrasOf(dual, [web]),
    want: [
      'hostport4 060000001f900000 : 0a01000500500000',
      `hostport6 060000001f900000 : ${five6}00500000`,
      'self4 0a0100050a010005',
      `hairpin4 ${cni0}0a010005`,
      `self6 ${five6}${five6}`,
      `hairpin6 ${cni0}${five6}`,
    ],
  },
  {
    why: 'one address of the host, SCTP, whoever asks',
    extras: extrasOf(dual, [{ ...web, protocol: 'sctp', hostIp: '192.0.2.1' }], 'all'),
    want: ['hostip4 c0000201840000001f900000 : 0a01000500500000', 'masqall4 0a010005'],
  },
  {
    why: 'no masquerade',
    extras: extrasOf(['fd00::5'], [web], 'none'),
    want: [`hostport6 060000001f900000 : ${five6}00500000`],
  },
  {
    why: 'an address of the other family',
    extras: extrasOf(['fd00::5'], [{ ...web, hostIp: '192.0.2.1' }]),
    want: [],
  },
  { why: 'a pod without addresses', extras: extrasOf([], [web]), want: [] },
] as const)
  test(`elements of host ports: ${why}`, async (t) => t.strictSame(shown(extras), want))

test('every element is in a set of the table, and a port in a map is nobody else’s', async (t) => {
  const mappings = [web, { ...web, hostIp: '192.0.2.1' }, { ...web, hostIp: '2001:db8::1' }]
  for (const masquerade of ['returning', 'all'] as const)
    for (const element of hostPortElements(extrasOf(dual, mappings, masquerade))) {
      t.ok(setsOf(inetTable).includes(element.set), element.set)
      t.equal(element.isExclusive === true, element.value !== undefined, element.set)
    }
})

test('an element of a map tells its port', async (t) => {
  const mappings = [web, { ...web, protocol: 'udp', hostPort: 53, hostIp: '2001:db8::1' }] as const
  t.strictSame(hostPortElements(extrasOf(dual, mappings)).map(portOfElement), [
    'tcp port 8080',
    'tcp port 8080',
    'udp port 53 of 2001:db8::1',
    ...[undefined, undefined, undefined, undefined],
  ])
})

for (const { hostIp, ips, want } of [
  { hostIp: null, ips: dual, want: [4, 6] },
  { hostIp: null, ips: ['fd00::5'], want: [6] },
  { hostIp: '127.0.0.9', ips: dual, want: [4] },
  { hostIp: '::1', ips: dual, want: [6] },
  { hostIp: '128.0.0.1', ips: dual, want: [] },
])
  test(`loopback addresses that ${hostIp ?? 'every address'} means: ${want}`, async (t) =>
    t.strictSame(loopbackFamilies(forwardsOf(ips, [{ ...web, hostIp }])), want))

for (const { listens, port = 8080, hostIp = null, ips = dual, want } of [
  { listens: '0.0.0.0', want: true },
  { listens: '::', want: true },
  { listens: '127.0.0.53', want: true },
  { listens: '0.0.0.0', port: 8081, want: false },
  { listens: '192.0.2.1', hostIp: '192.0.2.1', want: true },
  { listens: '::ffff:192.0.2.1', hostIp: '192.0.2.1', want: true },
  { listens: '192.0.2.2', hostIp: '192.0.2.1', want: false },
  { listens: '::', hostIp: '192.0.2.1', want: true },
  { listens: '0.0.0.0', hostIp: '2001:db8::1', want: false },
  { listens: '0.0.0.0', ips: ['fd00::5'], want: false },
  { listens: '::1', ips: ['10.1.0.5'], want: false },
])
  test(`${listens} ${port} is in the way of ${hostIp ?? 'all'} of ${ips}: ${want}`, async (t) => {
    const address = parseAddress(listens) ?? t.fail('an address')
    if (typeof address !== 'object') return
    const forwards = forwardsOf(ips, [{ ...web, hostIp }])
    t.equal(
      forwards.some((forward) => isListenedOn(forward, { address, port })),
      want,
    )
  })
