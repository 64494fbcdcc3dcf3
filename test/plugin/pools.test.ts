import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import type { Leased } from '../../src/ipam/allocate.ts'
import { poolName } from '../../src/ipam/ranges.ts'
import { loadNative } from '../../src/kernel/native.ts'
import { type Call, dataDirOf, delegateOf, isHostLocal } from '../../src/plugin/context.ts'
import { describeAttachment } from '../../src/plugin/describe.ts'
import { hostLocalFolder } from '../../src/plugin/host-local.ts'
import { leaseAddresses, poolFaultOf, rangeSetsOf } from '../../src/plugin/lease.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { withFolder } from '../store/folder.ts'
import { faultOf, faultOrResult } from '../support/fault-of.ts'
import { type Request, sourceOf } from './request.ts'

const native = loadNative()

function callOf(request: Request): Call {
  const { id, config, environment } = sourceOf(request)
  return {
    native,
    id,
    config,
    environment,
    input: '',
    plugin: 'tulle' as const,
    note: () => undefined,
  }
}
const withIpam = (ipam: object, more: object = {}): Call =>
  callOf({ keys: { ...more, ipam: { type: 'host-local', ...ipam } } })

const text = (call: Call): readonly string[] =>
  rangeSetsOf(call).map((set) =>
    set
      .map((range) => `${poolName(range)} ${range.gateway ? formatAddress(range.gateway) : '-'}`)
      .join(' or '),
  )

for (const { why, call, want } of [
  {
    why: 'the old inline range, with its own keys',
    call: withIpam({ subnet: '10.1.0.0/24', rangeStart: '10.1.0.9', gateway: '10.1.0.5' }),
    want: ['10.1.0.9-10.1.0.254 10.1.0.5'],
  },
  {
    why: 'the runtime’s first, then the inline one, then the list: as host-local has them',
    call: withIpam(
      { subnet: '10.2.0.0/24', ranges: [[{ subnet: '10.3.0.0/24' }, { subnet: '10.4.0.0/24' }]] },
      { runtimeConfig: { ipRanges: [[{ Subnet: '10.1.0.0/24' }]] } },
    ),
    want: [
      '10.1.0.1-10.1.0.254 10.1.0.1',
      '10.2.0.1-10.2.0.254 10.2.0.1',
      '10.3.0.1-10.3.0.254 10.3.0.1 or 10.4.0.1-10.4.0.254 10.4.0.1',
    ],
  },
  {
    why: 'the runtime’s alone',
    call: withIpam({}, { runtimeConfig: { ipRanges: [[{ subnet: '10.1.0.0/30' }]] } }),
    want: ['10.1.0.1-10.1.0.2 10.1.0.1'],
  },
  {
    why: 'one of each family in the oldest version',
    call: withIpam(
      { ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00::/126' }]] },
      { cniVersion: '0.2.0' },
    ),
    want: ['10.1.0.1-10.1.0.254 10.1.0.1', 'fd00::1-fd00::3 fd00::1'],
  },
]) {
  test(`ranges: ${why}`, async (t) => t.strictSame(text(call), want))
}

// A refusal names the key that the operator, or the runtime, has to change.
for (const { why, call, details } of [
  {
    why: 'none at all',
    call: withIpam({ ranges: [] }),
    details: /^ipam has neither ranges nor subnet, and the runtime sent no ipRanges; /,
  },
  {
    why: 'a fault in the list',
    call: withIpam({ ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.2.0.1/24' }]] }),
    details: /^ipam\.ranges\[1\]\[0\]\.subnet is "?10\.2\.0\.1\/24"?; accepted: .*10\.2\.0\.0\/24/,
  },
  {
    why: 'a fault in the inline range',
    call: withIpam({ subnet: '10.1.0.1/24' }),
    details: /^ipam\.subnet is "?10\.1\.0\.1\/24"?; /,
  },
  {
    why: 'a fault in the inline range’s end',
    call: withIpam({ subnet: '10.1.0.0/24', rangeEnd: '10.2.0.1' }),
    details: /^ipam\.rangeEnd is "?10\.2\.0\.1"?; /,
  },
  {
    why: 'a fault in the runtime’s',
    call: withIpam(
      { subnet: '10.2.0.0/24' },
      { runtimeConfig: { ipRanges: [[{ subnet: '10.1.0.0/24', gateway: 'x' }]] } },
    ),
    details: /^runtimeConfig\.ipRanges\[0\]\[0\]\.gateway is "?x"?; /,
  },
  {
    why: 'a fault in the list, behind the runtime’s',
    call: withIpam(
      { ranges: [[{ subnet: 'x' }]] },
      { runtimeConfig: { ipRanges: [[{ subnet: '10.1.0.0/24' }]] } },
    ),
    details: /^ipam\.ranges\[0\]\[0\]\.subnet is "?x"?; /,
  },
  {
    why: 'the list overlaps the runtime’s',
    call: withIpam(
      { ranges: [[{ subnet: '10.1.0.0/25' }]] },
      { runtimeConfig: { ipRanges: [[{ subnet: '10.1.0.0/24' }]] } },
    ),
    details: /^ipam\.ranges\[0\]\[0\]\.subnet is "?10\.1\.0\.0\/25"?; .*10\.1\.0\.0\/24/,
  },
  {
    why: 'two addresses of a family, which 0.2.0 has no place for',
    call: withIpam(
      { ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: '10.2.0.0/24' }]] },
      { cniVersion: '0.2.0' },
    ),
    details: /^CNI 0\.2\.0 carries one address a family; use cniVersion 0\.3\.0 or newer/,
  },
]) {
  test(`ranges refused: ${why}`, async (t) => {
    const fault = faultOf(() => rangeSetsOf(call))
    t.equal(fault.code, 7)
    t.match(fault.details, details)
  })
}

test('a pool that nobody leased from is not full; one that is a gateway alone is', async (t) => {
  t.equal(poolFaultOf(withIpam({ subnet: '10.1.0.0/24' }), undefined), undefined)
  const lone = { subnet: '10.1.0.0/24', rangeEnd: '10.1.0.1' }
  t.match(poolFaultOf(withIpam(lone), undefined), /every address of 10\.1\.0\.1-10\.1\.0\.1/)
})

test('a pod never gets the address that the bridge has', async (t) => {
  await withFolder((dataDir) => {
    const ranges = ['10.1.0.0/31', 'fd00::/127'].map((subnet) => [{ subnet }])
    const keys = { mode: 'bridge', isGateway: true, ipam: { type: 'host-local', dataDir, ranges } }
    for (const container of ['c1', 'c2']) {
      const source = sourceOf({ keys })
      const call = { ...callOf({ keys }), id: { ...source.id, container } }
      const leased = leaseOrNone(call)
      const ips = leased.map(({ address, range }) => ({
        prefix: { address, bits: range.subnet.bits },
        gateway: range.gateway,
      }))
      const { bridge, ips: own } = describeAttachment({ ...source, ips })
      const carried = bridge?.addresses.map((text) => text.split('/')[0]) ?? []
      for (const { address } of own) t.notOk(carried.includes(address), `${container}: ${address}`)
    }
  })
})

/** What an ADD leases, or nothing where the pool is full or refused. */
function leaseOrNone(call: Call): readonly Leased[] {
  const outcome = faultOrResult(() =>
    LeaseStore.use(dataDirOf(call.config), native.lock, (store) => leaseAddresses(call, store)),
  )
  return 'result' in outcome ? outcome.result : []
}

const defaultDir = '/var/lib/cni/tulle'
for (const { why, keys, builtIn, delegate, dataDir } of [
  {
    why: 'host-local is built in',
    keys: { ipam: { type: 'host-local' } },
    builtIn: true,
    delegate: undefined,
    dataDir: defaultDir,
  },
  {
    why: 'host-local’s own dataDir',
    keys: { dataDir: '/a', ipam: { type: 'host-local', dataDir: '/b' } },
    builtIn: true,
    delegate: undefined,
    dataDir: '/b',
  },
  {
    why: 'host-local without one: the network’s',
    keys: { dataDir: '/a', ipam: { type: 'host-local' } },
    builtIn: true,
    delegate: undefined,
    dataDir: '/a',
  },
  {
    why: 'another IPAM’s dataDir is its own',
    keys: { ipam: { type: 'whereabouts', dataDir: '/b' } },
    builtIn: false,
    delegate: 'whereabouts',
    dataDir: defaultDir,
  },
  {
    why: 'no IPAM',
    keys: { mode: 'bridge', dataDir: '' },
    builtIn: false,
    delegate: undefined,
    dataDir: defaultDir,
  },
]) {
  test(`IPAM: ${why}`, async (t) => {
    const { config } = sourceOf({ keys })
    t.equal(isHostLocal(config.ipam), builtIn)
    t.equal(delegateOf(config), delegate)
    t.equal(dataDirOf(config), dataDir)
  })
}

test('host-local keeps a folder for each network, by default where Debian’s does', async (t) => {
  t.equal(hostLocalFolder(withIpam({})), '/var/lib/cni/networks/net')
  t.equal(hostLocalFolder(withIpam({ dataDir: '/b' })), '/b/net')
})
