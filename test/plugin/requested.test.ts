import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { loadNative } from '../../src/kernel/native.ts'
import { leaseAddresses } from '../../src/plugin/lease.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { free, withFolder } from '../store/folder.ts'
import { faultOrResult } from '../support/fault-of.ts'
import { type Request, sourceOf } from './request.ts'

const native = loadNative()
const ranges = [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/125' }]]

/** What an ADD leases, as text; or the code of its refusal and why. */
function lease(dataDir: string, container: string, request: Request): string {
  const keys = { ...request.keys, ipam: { type: 'host-local', dataDir, ranges } }
  const source = sourceOf({ ...request, keys })
  const call = {
    ...{ native, config: source.config, environment: source.environment, input: '' },
    id: { ...source.id, container },
    plugin: 'tulle' as const,
    note: () => undefined,
  }
  const outcome = faultOrResult(() =>
    LeaseStore.use(dataDir, free, (store) => leaseAddresses(call, store)),
  )
  return 'result' in outcome
    ? outcome.result.map(({ address }) => formatAddress(address)).join(' ')
    : `${outcome.fault.code}: ${outcome.fault.message}: ${outcome.fault.details}`
}

const annotated = (ips: string, runtimeConfig: object = {}): object => ({
  runtimeConfig: {
    'io.kubernetes.cri.pod-annotations': { 'tulle.dev/ips': ips, 'else.org/ips': '10.1.0.4' },
    ...runtimeConfig,
  },
})

for (const { why, request, want } of [
  { why: 'nothing', request: {}, want: /^10\.1\.0\.2 fd00::2$/ },
  { why: 'one, by CNI_ARGS', request: { args: 'IP=10.1.0.5' }, want: /^10\.1\.0\.5 fd00::2$/ },
  {
    why: 'two, by CNI_ARGS',
    request: { args: 'IP=fd00::5,10.1.0.5' },
    want: /^10\.1\.0\.5 fd00::5$/,
  },
  { why: 'an empty text', request: { args: 'IP=' }, want: /^10\.1\.0\.2 fd00::2$/ },
  {
    why: 'by args.cni',
    request: { keys: { args: { cni: { ips: ['10.1.0.6'] } } } },
    want: /^10\.1\.0\.6 fd00::2$/,
  },
  {
    why: 'by the capability, with a length that is passed over, as host-local does',
    request: { keys: { runtimeConfig: { ips: ['10.1.0.6/24', 'fd00::6/64'] } } },
    want: /^10\.1\.0\.6 fd00::6$/,
  },
  {
    why: 'all three add up',
    request: {
      keys: { runtimeConfig: { ips: ['fd00::6'] }, args: { cni: { ips: ['10.1.0.6'] } } },
      args: 'IP=10.1.0.6',
    },
    want: /^10\.1\.0\.6 fd00::6$/,
  },
  {
    why: 'one in other letters is the same one',
    request: { keys: { runtimeConfig: { ips: ['FD00:0::6', 'fd00::6'] } } },
    want: /^10\.1\.0\.2 fd00::6$/,
  },
  {
    why: 'by the pod’s annotation',
    request: { keys: annotated('fd00::6, 10.1.0.6') },
    want: /^10\.1\.0\.6 fd00::6$/,
  },
  {
    why: 'by an empty annotation',
    request: { keys: annotated(' ') },
    want: /^10\.1\.0\.2 fd00::2$/,
  },
  {
    why: 'by the annotation and CNI_ARGS',
    request: { keys: annotated('fd00::6'), args: 'IP=10.1.0.6' },
    want: /^10\.1\.0\.6 fd00::6$/,
  },
  {
    why: 'the capability has the last word, whatever the annotation says',
    request: { keys: annotated('10.1.0.300', { ips: ['10.1.0.5'] }) },
    want: /^10\.1\.0\.5 fd00::2$/,
  },
  {
    why: 'an empty list of the capability is none',
    request: { keys: annotated('10.1.0.5', { ips: [] }) },
    want: /^10\.1\.0\.5 fd00::2$/,
  },
  {
    why: 'no address in the annotation',
    request: { keys: annotated('10.1.0.5,x') },
    want: /^7: invalid requested address: "x" is no IP address \(annotation tulle\.dev\/ips\)$/,
  },
  {
    why: 'no address behind the annotation’s last comma',
    request: { keys: annotated('10.1.0.5,') },
    want: /^7: invalid requested address: "" is no IP address \(annotation tulle\.dev\/ips\)$/,
  },
  {
    why: 'no address',
    request: { args: 'IP=10.1.0.300' },
    want: /^7: invalid requested address: "10\.1\.0\.300" is no IP address/,
  },
  {
    why: 'the gateway’s',
    request: { args: 'IP=10.1.0.1' },
    want: /^103: requested address is not available: 10\.1\.0\.1 is the gateway's;/,
  },
  {
    why: 'one of no range',
    request: { args: 'IP=10.9.0.5' },
    want: /^103: requested address is not available: 10\.9\.0\.5 is in none of 10\.1\.0\.1-/,
  },
]) {
  test(`requested: ${why}`, async (t) =>
    withFolder((folder) => {
      t.match(lease(folder, 'c1', request), want)
    }))
}

test('what is refused takes nothing, and what is taken is refused', async (t) =>
  withFolder((folder) => {
    t.equal(lease(folder, 'c1', { args: 'IP=fd00::5' }), '10.1.0.2 fd00::5')
    t.match(lease(folder, 'c2', { args: 'IP=fd00::5' }), /^103: .*: fd00::5 is leased to c1;/)
    t.equal(lease(folder, 'c2', {}), '10.1.0.3 fd00::2', '10.1.0.3 was not lost')
  }))

test('a pool with nothing left', async (t) =>
  withFolder((folder) => {
    for (const container of ['c2', 'c3', 'c4', 'c5', 'c6']) lease(folder, container, {})
    t.match(lease(folder, 'c7', {}), /^102: no free address: every address of 10\.1\.0\.1-10\.1/)
  }))
