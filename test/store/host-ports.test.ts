import { test } from 'tap'
import type { Extras } from '../../src/datapath/extras.ts'
import { forwardsOf, type PortMapping } from '../../src/datapath/host-ports.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { free, withFolder } from './folder.ts'

const web: PortMapping = { protocol: 'tcp', hostPort: 80, containerPort: 8080, hostIp: null }
const extrasOf = (container: string, mapping: PortMapping, keys: Partial<Extras> = {}): Extras => ({
  network: 'net',
  container,
  ifname: 'eth0',
  plugin: 'tulle',
  ips: ['10.1.0.5', 'fd00::5'],
  hostLink: null,
  bridge: 'cni0',
  hostPorts: {
    mappings: [mapping],
    gate: 'cni0',
    masquerade: 'returning',
    loopback: [4],
    isGateOurs: true,
  },
  shaping: null,
  tuning: null,
  isolation: null,
  isAccepted: false,
  ...keys,
})

const ownerOf = (store: LeaseStore, asking: Extras): string | undefined =>
  forwardsOf(asking.ips, asking.hostPorts?.mappings ?? [])
    .map((forward) => store.extras.hostPorts.otherOwner(forward, asking)?.container)
    .find((owner) => owner !== undefined)

const bound = (hostIp: string): PortMapping => ({ ...web, hostIp })
const onlyIpv6 = { ips: ['fd00::5'] }

for (const { why, there, asked, keys = {}, want } of [
  { why: 'the same', there: web, asked: web, want: 'a' },
  { why: 'another port', there: web, asked: { ...web, hostPort: 81 }, want: undefined },
  { why: 'another protocol', there: web, asked: { ...web, protocol: 'udp' }, want: undefined },
  { why: 'one address of all', there: web, asked: bound('192.0.2.1'), want: 'a' },
  { why: 'all, where one is taken', there: bound('192.0.2.1'), asked: web, want: 'a' },
  { why: 'one address twice', there: bound('192.0.2.1'), asked: bound('192.0.2.1'), want: 'a' },
  {
    why: 'two addresses',
    there: bound('192.0.2.1'),
    asked: bound('192.0.2.2'),
    want: undefined,
  },
  {
    why: 'all of the other family',
    there: bound('192.0.2.1'),
    asked: web,
    keys: onlyIpv6,
    want: undefined,
  },
  { why: 'all of this family', there: bound('fd00::1'), asked: web, keys: onlyIpv6, want: 'a' },
  { why: 'the last address', there: bound('255.255.255.255'), asked: web, want: 'a' },
] as const)
  test(`whose port it is already: ${why}`, async (t) =>
    withFolder((folder) =>
      LeaseStore.use(folder, free, (store) => {
        store.extras.put(extrasOf('a', there))
        t.equal(ownerOf(store, extrasOf('b', asked, keys)), want)
        t.equal(ownerOf(store, extrasOf('a', asked, keys)), undefined, 'its own is no other’s')
        store.extras.drop(extrasOf('a', there))
        t.equal(ownerOf(store, extrasOf('b', asked, keys)), undefined, 'free again')
      }),
    ))

test('a new life begins with no port taken', async (t) =>
  withFolder((folder) =>
    LeaseStore.use(folder, free, (store) => {
      store.extras.put(extrasOf('a', web))
      store.releaseAll()
      t.equal(ownerOf(store, extrasOf('b', web)), undefined)
    }),
  ))

test('a link is kept open for others', async (t) =>
  withFolder((folder) =>
    LeaseStore.use(folder, free, (store) => {
      const [a, b] = [extrasOf('a', web), extrasOf('b', { ...web, hostPort: 81 })]
      store.extras.put(a)
      t.notOk(store.extras.isGateOurs('cni0', a), 'nobody else')
      t.ok(store.extras.isGateOurs('cni0', b))
      t.notOk(store.extras.isGateOurs('cni1', b), 'another link')
      const plain = extrasOf('c', web, { hostPorts: null })
      store.extras.drop(a)
      store.extras.put(plain)
      t.notOk(store.extras.isGateOurs('cni0', b), 'another pod without ports')
    }),
  ))
