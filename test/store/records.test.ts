import { existsSync, readdirSync, statSync } from 'node:fs'
import { test } from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { attachmentOf } from '../datapath/attachments.ts'
import { free, withFolder } from './folder.ts'

const routed = attachmentOf('routed', 'dual')
const bridged = attachmentOf('bridge', 'v4', { network: 'net-2', masqueradeExcept: ['10.0.0.0/8'] })
const address = (text: string) => parseAddress(text) ?? { family: 4 as const, value: 0n }

/** One transaction that is kept. */
const use = <T>(folder: string, work: (store: LeaseStore) => T): T =>
  LeaseStore.use(folder, free, work)

test('a record is read as it was written, by its whole name', async (t) =>
  withFolder((folder) => {
    use(folder, (store) => {
      t.equal(store.isEmpty(), true)
      store.putAttachment(routed)
      store.putAttachment(bridged)
    })
    use(folder, (store) => {
      t.strictSame(store.attachment(routed), routed)
      t.strictSame(store.attachment(bridged), bridged)
      t.equal(store.attachment({ ...routed, ifname: 'eth1' }), undefined)
      t.equal(store.attachment({ ...routed, network: 'net-3' }), undefined)
      t.strictSame(store.attachments('net'), [routed])
      t.strictSame(store.attachments('none'), [])
      t.strictSame(store.attachments().length, 2)
      t.equal(store.isEmpty(), false)
    })
  }))

test('a record may be written again', async (t) =>
  withFolder((folder) => {
    const changed = { ...routed, mtuBytes: 9000 }
    use(folder, (store) => store.putAttachment(routed))
    use(folder, (store) => store.putAttachment(changed))
    use(folder, (store) => t.strictSame(store.attachments(), [changed]))
  }))

test('release forgets one record, releaseAll every one', async (t) =>
  withFolder((folder) => {
    const third = attachmentOf('routed', 'v4', { ifname: 'eth1' })
    use(folder, (store) => {
      for (const one of [routed, bridged, third]) store.putAttachment(one)
      store.release(routed)
      store.release({ network: 'net', container: 'none', ifname: 'eth0' })
    })
    use(folder, (store) => {
      t.strictSame(store.attachments('net'), [third])
      store.releaseAll()
      t.equal(store.isEmpty(), true)
    })
  }))

test('what is thrown away was never there', async (t) =>
  withFolder((folder) => {
    use(folder, (store) => store.setMeta('life', 'one'))
    const store = LeaseStore.open(folder, free)
    store.setMeta('life', 'two')
    store.putAttachment(routed)
    t.equal(store.meta('life'), 'two', 'though its own transaction sees it')
    store.rollback()
    t.throws(
      () =>
        use(folder, (again) => {
          again.setMeta('life', 'three')
          throw new Error('no address')
        }),
      /no address/,
    )
    use(folder, (again) => {
      t.equal(again.meta('life'), 'one')
      t.equal(again.meta('none'), undefined)
      t.equal(again.isEmpty(), true)
    })
  }))

test('names are values, not SQL', async (t) =>
  withFolder((folder) => {
    const odd = { ...routed, ifname: "'; --", container: 'x"y\u0000z', network: '%' }
    use(folder, (store) => store.putAttachment(odd))
    use(folder, (store) => t.strictSame(store.attachment(odd), odd))
  }))

test('a lease without an interface name answers to any of its container', async (t) =>
  withFolder((folder) => {
    const legacy = { network: 'net', container: 'c1', ifname: '' }
    const pool = '10.1.0.1-10.1.0.6'
    use(folder, (store) => {
      store.hold(legacy, [{ address: address('10.1.0.5'), pool }])
      store.hold({ ...legacy, ifname: 'eth1' }, [{ address: address('10.1.0.6'), pool }])
      t.equal(store.heldBy({ ...legacy, ifname: 'eth0' }).length, 1)
      store.release({ ...legacy, ifname: 'eth0' })
      t.equal(store.book('net').holderOf(address('10.1.0.5'), pool), 'released')
      t.equal(store.book('net').holderOf(address('10.1.0.6'), pool), 'c1')
    })
  }))

test('a bridge is shared while another attachment is a port of it', async (t) =>
  withFolder((folder) => {
    const other = { ...bridged, ifname: 'eth1' }
    use(folder, (store) => {
      store.putAttachment(routed)
      store.putAttachment(bridged)
      t.equal(store.isBridgeShared(bridged, 'cni0'), false, 'not by itself')
      t.equal(store.isBridgeShared(routed, 'cni0'), true)
      t.equal(store.isBridgeShared(routed, 'cni1'), false)
      store.putAttachment(other)
      t.equal(store.isBridgeShared(bridged, 'cni0'), true)
    })
    use(folder, (store) => {
      store.release(other)
      t.equal(store.isBridgeShared(bridged, 'cni0'), false)
      t.equal(store.hasOthers(bridged), true, 'the routed one')
      store.release(routed)
      t.equal(store.hasOthers(bridged), false)
      t.equal(store.hasOthers(routed), true)
    })
  }))

const adoptedOf = (store: LeaseStore, network: string) =>
  store.held(network).flatMap(({ address, isAdopted }) => (isAdopted ? [address] : []))

test('adopted leases are told apart from our own, until they are given back', async (t) =>
  withFolder((folder) => {
    const pool = '10.1.0.1-10.1.0.6'
    const [own, adopted] = [address('10.1.0.5'), address('10.1.0.6')]
    use(folder, (store) => {
      store.hold({ network: 'net', container: 'c1', ifname: 'eth0' }, [{ address: own, pool }])
      store.adopt({ network: 'net', container: 'c2', ifname: '' }, { address: adopted, pool })
      store.adopt({ network: 'net-2', container: 'c3', ifname: '' }, { address: own, pool })
    })
    use(folder, (store) => {
      t.strictSame(adoptedOf(store, 'net'), [adopted])
      t.equal(store.book('net').holderOf(adopted, pool), 'c2')
      store.releaseAddress('net', adopted)
      t.strictSame(adoptedOf(store, 'net'), [])
      t.equal(store.book('net').holderOf(adopted, pool), 'released')
      t.equal(store.book('net').holderOf(own, pool), 'c1')
      t.strictSame(adoptedOf(store, 'net-2'), [own])
    })
  }))

for (const { pool, released, isKept } of [
  { pool: '10.0.0.1-10.255.255.254', released: '10.9.9.9', isKept: true },
  { pool: 'fd00::1-fd00::ff:ffff', released: 'fd00::9', isKept: true },
  { pool: 'fd00::-fd00::ff:ffff', released: 'fd00::9', isKept: true },
  { pool: 'fd00::-fd00::100:0', released: 'fd00::9', isKept: false },
  { pool: 'fd00::1-fd00::ffff:ffff:ffff:ffff', released: 'fd00::9', isKept: false },
]) {
  test(`${pool} ${isKept ? 'remembers' : 'is too large to remember'} what it got back`, async (t) =>
    withFolder((folder) => {
      const id = { network: 'net', container: 'c1', ifname: 'eth0' }
      use(folder, (store) => {
        store.hold(id, [{ address: address(released), pool }])
        store.release(id)
      })
      use(folder, (store) => {
        const book = store.book('net')
        t.equal(book.holderOf(address(released), pool), isKept ? 'released' : undefined)
        t.strictSame(book.oldestReleased(pool)?.address, isKept ? address(released) : undefined)
      })
    }))
}

test('the folder is made, with what is above it; the lock is nobody else’s to read', async (t) =>
  withFolder((folder) => {
    const dataDir = `${folder}/var/lib/cni/tulle`
    use(dataDir, () => undefined)
    t.equal(statSync(dataDir).mode & 0o777, 0o755)
    t.equal(statSync(`${dataDir}/tulle.lock`).mode & 0o777, 0o600)
    t.strictSame(
      readdirSync(dataDir).filter((name) => !name.startsWith('tulle.')),
      [],
    )
    t.ok(existsSync(`${dataDir}/tulle.db`))
  }))
