import fc from 'fast-check'
import { test } from 'tap'
import { type Address, parseAddress } from '../../src/base/address.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { holds } from '../base/law.ts'
import { type Ledger, MapLedger, pictureOf } from '../ipam/map-ledger.ts'
import { free, withFolder } from './folder.ts'

// The store answers what a plain list in memory answers, whatever was done to both; ipam's own
// tests run on that list.

const networks = ['net', 'net-2']
const pools = ['10.1.0.1-10.1.0.6', 'fd00::1-fd00::3', 'adopted']
const texts = ['10.1.0.2', '10.1.0.3', '10.1.0.4', 'fd00::2', 'fd00::3', '255.255.255.255', '::']
const addresses = texts.flatMap((text): readonly Address[] => {
  const address = parseAddress(text)
  return address ? [address] : []
})

const id = fc.record({
  network: fc.constantFrom(...networks),
  container: fc.constantFrom('c1', 'c2', 'c3'),
  // without a name: a lease of host-local before 0.8
  ifname: fc.constantFrom('eth0', 'eth1', ''),
})
const address = fc.constantFrom(...addresses)
const pool = fc.constantFrom(...pools)

type Act = (ledger: Ledger) => void
const act: fc.Arbitrary<Act | 'commit'> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(id, fc.array(fc.record({ address, pool }), { maxLength: 2 })).map(
      ([one, leases]): Act =>
        (ledger) =>
          ledger.hold(one, leases),
    ),
  },
  {
    weight: 4,
    arbitrary: id.map(
      (one): Act =>
        (ledger) =>
          ledger.release(one),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(...networks), pool, address).map(
      ([network, name, next]): Act =>
        (ledger) =>
          ledger.setCursors(network, [{ pool: name, next }]),
    ),
  },
  { weight: 1, arbitrary: fc.constant<Act>((ledger) => ledger.releaseAll()) },
  { weight: 1, arbitrary: fc.constant('commit' as const) },
)

const picture = (ledger: Ledger): string =>
  JSON.stringify(networks.map((network) => pictureOf(ledger, network, { addresses, pools })))

test('the store says what a list would say', async (t) => {
  await withFolder((folder) => {
    let run = 0
    const property = fc.property(fc.array(act, { maxLength: 40, size: 'max' }), (acts) => {
      run += 1
      const dataDir = `${folder}/${run}`
      const list = new MapLedger()
      let store = LeaseStore.open(dataDir, free)
      try {
        for (const one of acts) {
          if (one === 'commit') {
            store.commit()
            store = LeaseStore.open(dataDir, free)
          } else {
            one(list)
            one(store)
          }
          const [got, want] = [picture(store), picture(list)]
          if (got !== want) throw new Error(`got ${got}, want ${want}`)
        }
      } finally {
        store.rollback()
      }
    })
    holds(t, property, 60)
  })
})
