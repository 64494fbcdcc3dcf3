import { test } from 'tap'
import { formatResult, passThrough, type Result, readResult } from '../../src/cni/result.ts'
import { versions } from '../../src/cni/version.ts'
import { faultOf } from '../support/fault-of.ts'

const sandbox = '/run/netns/pod'
const [bridgeMac, hostMac, podMac] = [1, 2, 3].map((last) => `0a:58:00:00:00:0${last}`)
const dns = { nameservers: ['10.96.0.10'], domain: 'd', search: ['s'], options: ['ndots:5'] }

/** Everything that ADD can say. */
const full: Result = {
  interfaces: [
    { name: 'cni0', mac: bridgeMac ?? '' },
    { name: 'tul01234567890', mac: hostMac ?? '', mtu: 1450 },
    { name: 'eth0', mac: podMac ?? '', mtu: 1450, sandbox },
  ],
  ips: [
    { address: '10.1.0.5/24', gateway: '10.1.0.1', interface: 2 },
    { address: 'fd00:1::5/64', gateway: 'fd00:1::1', interface: 2 },
  ],
  routes: [
    { dst: '0.0.0.0/0' },
    {
      dst: '10.9.0.0/16',
      gw: '10.1.0.9',
      mtu: 1400,
      advmss: 1360,
      priority: 5,
      table: 7,
      scope: 0,
    },
    { dst: '::/0', gw: 'fd00:1::1' },
  ],
  dns,
}

const plainRoutes = [
  { dst: '0.0.0.0/0' },
  { dst: '10.9.0.0/16', gw: '10.1.0.9' },
  { dst: '::/0', gw: 'fd00:1::1' },
]
const plainInterfaces = [
  { name: 'cni0', mac: bridgeMac },
  { name: 'tul01234567890', mac: hostMac },
  { name: 'eth0', mac: podMac, sandbox },
]
const old = {
  ip4: {
    ip: '10.1.0.5/24',
    gateway: '10.1.0.1',
    routes: [{ dst: '0.0.0.0/0' }, { dst: '10.9.0.0/16', gw: '10.1.0.9' }],
  },
  ip6: {
    ip: 'fd00:1::5/64',
    gateway: 'fd00:1::1',
    routes: [{ dst: '::/0', gw: 'fd00:1::1' }],
  },
  dns,
}
const middle = {
  interfaces: plainInterfaces,
  ips: [
    { version: '4', address: '10.1.0.5/24', gateway: '10.1.0.1', interface: 2 },
    { version: '6', address: 'fd00:1::5/64', gateway: 'fd00:1::1', interface: 2 },
  ],
  routes: plainRoutes,
  dns,
}
const wanted = {
  '0.1.0': old,
  '0.2.0': old,
  '0.3.0': middle,
  '0.3.1': middle,
  '0.4.0': middle,
  '1.0.0': { interfaces: plainInterfaces, ips: full.ips, routes: plainRoutes, dns },
  '1.1.0': full,
}

for (const version of versions) {
  test(`${version}: everything that ADD can say`, async (t) => {
    const got = JSON.parse(formatResult(version, full)) as Record<string, unknown>
    t.strictSame(got, { cniVersion: version, ...wanted[version] })
    t.equal(Object.keys(got)[0], 'cniVersion', 'which comes first, for people')
  })
}

const none = { interfaces: [], ips: [], routes: [], dns: {} }

const shapes: readonly Readonly<{ why: string; result: Result; want: Record<string, object> }>[] = [
  {
    // libcni since 1.2 prints no empty dns for 1.0 and newer, and always did for older ones
    why: 'empty lists are left out; dns is an empty object before 1.0.0',
    result: none,
    want: {
      '0.1.0': { dns: {} },
      '0.2.0': { dns: {} },
      '0.3.0': { dns: {} },
      '0.3.1': { dns: {} },
      '0.4.0': { dns: {} },
      '1.0.0': {},
      '1.1.0': {},
    },
  },
  {
    why: 'so are empty lists and texts within dns',
    result: { ...none, dns: { nameservers: [], domain: '', search: ['s'] } },
    want: { '0.2.0': { dns: { search: ['s'] } }, '1.1.0': { dns: { search: ['s'] } } },
  },
  {
    why: 'one address a family before 0.3.0: the first, and its family’s routes',
    result: {
      ...none,
      ips: [{ address: '10.1.0.5/32' }, { address: '10.2.0.5/32', gateway: '10.2.0.1' }],
      routes: [{ dst: '::/0' }, { dst: '10.0.0.0/8' }],
    },
    want: { '0.2.0': { ip4: { ip: '10.1.0.5/32', routes: [{ dst: '10.0.0.0/8' }] }, dns: {} } },
  },
  {
    why: 'IPv6 alone',
    result: { ...none, ips: [{ address: 'fd00::5/128', interface: 0 }] },
    want: {
      '0.1.0': { ip6: { ip: 'fd00::5/128' }, dns: {} },
      '0.4.0': { ips: [{ version: '6', address: 'fd00::5/128', interface: 0 }], dns: {} },
      '1.0.0': { ips: [{ address: 'fd00::5/128', interface: 0 }] },
    },
  },
  {
    why: 'interface 0 is an index, not nothing',
    result: {
      ...none,
      interfaces: [{ name: 'eth0' }],
      ips: [{ address: '1.2.3.4/8', interface: 0 }],
    },
    want: {
      '1.1.0': { interfaces: [{ name: 'eth0' }], ips: [{ address: '1.2.3.4/8', interface: 0 }] },
    },
  },
]

for (const { why, result, want } of shapes)
  for (const version of versions) {
    const shape = want[version]
    if (shape === undefined) continue
    test(`${version}: ${why}`, async (t) =>
      t.strictSame(JSON.parse(formatResult(version, result)), { cniVersion: version, ...shape }))
  }

const reads: readonly Readonly<{ why: string; value: unknown; want: Partial<Result> }>[] = [
  { why: 'nothing', value: undefined, want: {} },
  { why: 'null, which a delegate may print', value: null, want: {} },
  { why: 'a list', value: [{ ips: [] }], want: {} },
  { why: 'a result without anything', value: {}, want: {} },
  {
    why: 'the index -1 of old libcni is no index',
    value: { ips: [{ version: '4', address: '10.1.0.5/24', interface: -1 }] },
    want: { ips: [{ address: '10.1.0.5/24' }] },
  },
  {
    why: 'what has the wrong type is passed over, what is right beside it is read',
    value: {
      interfaces: [null, { name: 'eth0', mac: 7, mtu: '9', sandbox: '' }, 'eth1'],
      ips: [{ address: 5 }, { address: '10.1.0.5/24', gateway: null, interface: 1.5 }, []],
      routes: [{ gw: '10.1.0.1' }, { dst: '::/0', priority: -1, mtu: 1400, table: null }],
      dns: ['10.0.0.1'],
    },
    want: {
      interfaces: [{ name: 'eth0' }],
      ips: [{ address: '10.1.0.5/24' }],
      routes: [{ dst: '::/0', mtu: 1400 }],
    },
  },
  {
    why: 'lists that are none',
    value: { interfaces: {}, ips: 'x', routes: 3, ip4: [], ip6: '::1' },
    want: {},
  },
  {
    why: '0.2.0: both families, their routes joined',
    value: { cniVersion: '0.2.0', ...old },
    want: {
      ips: [
        { address: '10.1.0.5/24', gateway: '10.1.0.1' },
        { address: 'fd00:1::5/64', gateway: 'fd00:1::1' },
      ],
      routes: plainRoutes,
      dns,
    },
  },
]

for (const { why, value, want } of reads) {
  test(`read: ${why}`, async (t) => t.strictSame(readResult(value), { ...none, ...want }))
}

test('pass-through keeps everything, in its order', async (t) => {
  const ours = { ...wanted['1.1.0'], 'example.com/extra': { a: [null, 1.5] }, interfaces: [] }
  t.equal(
    passThrough('1.1.0', { cniVersion: '1.1.0', ...ours }),
    JSON.stringify({ cniVersion: '1.1.0', ...ours }),
  )
})

for (const { why, version } of [
  { why: 'is not there', version: {} },
  { why: 'is empty', version: { cniVersion: '' } },
]) {
  test(`pass-through fills in a version that ${why}`, async (t) => {
    const ips = [{ address: '10.1.0.5/24' }]
    t.strictSame(JSON.parse(passThrough('1.0.0', { ...version, ips })), {
      cniVersion: '1.0.0',
      ips,
    })
  })
}

for (const { why, prevResult, code, details } of [
  { why: 'null', prevResult: null, code: 7, details: /not an object/ },
  { why: 'a list', prevResult: [], code: 7, details: /not an object/ },
  {
    why: 'a result of another version',
    prevResult: { cniVersion: '0.4.0' },
    code: 1,
    details: /prevResult is "0\.4\.0", the configuration "1\.0\.0"/,
  },
]) {
  test(`pass-through refuses ${why}`, async (t) => {
    const fault = faultOf(() => passThrough('1.0.0', prevResult))
    t.equal(fault.code, code)
    t.match(fault.details, details)
  })
}
