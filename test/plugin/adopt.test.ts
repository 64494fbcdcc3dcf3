import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { test } from 'tap'
import { formatAddress, parseAddress } from '../../src/base/address.ts'
import { loadNative, type Native } from '../../src/kernel/native.ts'
import type { RouteSocket } from '../../src/kernel/route-socket.ts'
import type { Call } from '../../src/plugin/context.ts'
import { releaseAddresses } from '../../src/plugin/detach.ts'
import { adoptLeases } from '../../src/plugin/host-local.ts'
import { leaseAddresses } from '../../src/plugin/lease.ts'
import { LOCK_EX } from '../../src/store/database.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { withFolder } from '../store/folder.ts'
import { faultOf } from '../support/fault-of.ts'
import { sourceOf } from './request.ts'

const native = loadNative()
/** Waits for host-local's lock as the plugin does, but for a test's patience. */
const impatient: Native = { ...native, lock: (fd, how, limit) => native.lock(fd, how, limit / 100) }

/** A host whose links have these aliases: nothing else of it is asked for. */
const hostWith = (...aliases: readonly string[]): RouteSocket =>
  ({ links: () => aliases.map((alias) => ({ alias })) }) as unknown as RouteSocket

const range = { subnet: '10.1.0.0/24', rangeEnd: '10.1.0.5' }

function callOf(dataDir: string, container = 'new'): Call {
  const keys = { ipam: { type: 'host-local', dataDir, ranges: [[range]] } }
  const { config, environment } = sourceOf({ keys })
  const id = { network: 'net', container, ifname: 'eth0' }
  return {
    native: impatient,
    id,
    config,
    environment,
    input: '',
    plugin: 'tulle' as const,
    note: () => undefined,
  }
}

/** host-local's folder of the network, its files older than now and younger than the boot. */
function hostLocal(dataDir: string, files: Readonly<Record<string, string>>): string {
  const folder = `${dataDir}/net`
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(`${folder}/${name}`, text)
  return folder
}

/** What an ADD does before it wires anything: the address that it gets. */
function add(dataDir: string, container: string, host: RouteSocket): string {
  const call = callOf(dataDir, container)
  return LeaseStore.use(dataDir, native.lock, (store) => {
    adoptLeases(call, store, host)
    return leaseAddresses(call, store)
      .map(({ address }) => formatAddress(address))
      .join(' ')
  })
}

const heldBy = (dataDir: string, container: string, ifname = 'eth0', network = 'net') =>
  LeaseStore.use(dataDir, native.lock, (store) =>
    store.heldBy({ network, container, ifname }).map(formatAddress),
  )

const noLinks = hostWith()

test('leases of host-local’s folder are taken over, and none of them is given again', async (t) =>
  withFolder((dataDir) => {
    hostLocal(dataDir, {
      '10.1.0.2': 'old\r\neth0',
      '10.1.0.3': 'older',
      '10.9.0.1': 'far\r\neth0',
    })
    t.equal(add(dataDir, 'new', noLinks), '10.1.0.4')
    t.strictSame(heldBy(dataDir, 'old'), ['10.1.0.2'])
    t.strictSame(heldBy(dataDir, 'older', 'eth7'), ['10.1.0.3'], 'for whatever interface')
    t.strictSame(heldBy(dataDir, 'far'), ['10.9.0.1'], 'outside of every range as well')
  }))

test('what host-local leases later is seen at the next ADD', async (t) =>
  withFolder((dataDir) => {
    const folder = hostLocal(dataDir, { '10.1.0.2': 'old\r\neth0' })
    t.equal(add(dataDir, 'one', noLinks), '10.1.0.3')
    writeFileSync(`${folder}/10.1.0.4`, 'later\r\neth0')
    utimesSync(folder, Date.now() / 1000, Date.now() / 1000)
    t.equal(add(dataDir, 'two', noLinks), '10.1.0.5')
  }))

test('even in the same tick of the clock in which the folder was read', async (t) =>
  withFolder((dataDir) => {
    const folder = hostLocal(dataDir, { '10.1.0.2': 'old\r\neth0' })
    const now = Date.now() / 1000
    utimesSync(folder, now, now)
    t.equal(add(dataDir, 'one', noLinks), '10.1.0.3')
    writeFileSync(`${folder}/10.1.0.4`, 'later\r\neth0')
    // as ext4 shows it before Linux 6.13: a tick is 4 to 10 ms, and host-local takes less
    utimesSync(folder, now, now)
    t.equal(add(dataDir, 'two', noLinks), '10.1.0.5')
  }))

test('what host-local deletes itself is free, what we gave is not', async (t) =>
  withFolder((dataDir) => {
    const folder = hostLocal(dataDir, { '10.1.0.2': 'old\r\neth0', '10.1.0.3': 'other\r\neth0' })
    t.equal(add(dataDir, 'one', noLinks), '10.1.0.4')
    rmSync(`${folder}/10.1.0.2`)
    utimesSync(folder, 1, 1)
    t.equal(add(dataDir, 'two', noLinks), '10.1.0.5')
    t.strictSame(heldBy(dataDir, 'old'), [])
    t.strictSame(heldBy(dataDir, 'other'), ['10.1.0.3'])
    t.strictSame(heldBy(dataDir, 'one'), ['10.1.0.4'])
    t.equal(add(dataDir, 'three', noLinks), '10.1.0.2')
  }))

test('an adopted lease that is given back is given back for good', async (t) =>
  withFolder((dataDir) => {
    const folder = hostLocal(dataDir, { '10.1.0.2': 'old\r\neth0', '10.1.0.3': 'other\r\neth0' })
    add(dataDir, 'new', noLinks)
    LeaseStore.use(dataDir, native.lock, (store) => {
      const call = callOf(dataDir, 'old')
      releaseAddresses(call, store, call.id)
    })
    t.strictSame(readdirSync(folder), ['10.1.0.3'], 'its file is gone, no other')
    t.strictSame(heldBy(dataDir, 'old'), [])
    t.equal(add(dataDir, 'next', noLinks), '10.1.0.5')
    t.equal(add(dataDir, 'last', noLinks), '10.1.0.2', 'and it is given again, as the last')
  }))

test('host-local is at work, and stays at it', async (t) =>
  withFolder((dataDir) => {
    const folder = hostLocal(dataDir, { '10.1.0.2': 'old\r\neth0', lock: '' })
    const fd = openSync(`${folder}/lock`, 'r')
    t.equal(native.lock(fd, LOCK_EX, 0), 0)
    const fault = faultOf(() => add(dataDir, 'new', noLinks))
    t.equal(fault.code, 11)
    t.match(fault.details, `${folder}/lock was not free within`)
    closeSync(fd)
    t.equal(add(dataDir, 'new', noLinks), '10.1.0.3')
  }))

test('a lost store is made again from the links', async (t) =>
  withFolder((dataDir) => {
    const host = hostWith(
      'tulle1 10.1.0.2,fd00::2 eth0 net a',
      'tulle1 10.1.0.3 eth1 net a',
      'tulle1 10.1.0.4 eth0 other b',
      'tulle1 bridge',
      'the uplink',
    )
    t.equal(add(dataDir, 'new', host), '10.1.0.4', 'another network has addresses of its own')
    t.strictSame(heldBy(dataDir, 'a'), ['10.1.0.2', 'fd00::2'])
    t.strictSame(heldBy(dataDir, 'a', 'eth1'), ['10.1.0.3'])
    t.equal(add(dataDir, 'newer', hostWith('tulle1 10.1.0.5 eth0 net c')), '10.1.0.5')
  }))

test('so is one that a verb which leases nothing has replaced meanwhile', async (t) =>
  withFolder((dataDir) => {
    writeFileSync(`${dataDir}/tulle.db`, 'nothing that SQLite knows '.repeat(100))
    t.strictSame(heldBy(dataDir, 'any'), [], 'as DEL, CHECK, GC and STATUS ask')
    t.equal(add(dataDir, 'new', hostWith('tulle1 10.1.0.2 eth0 net a')), '10.1.0.3')
  }))

test('what a link shows does not take an address from who has it', async (t) =>
  withFolder((dataDir) => {
    const address = parseAddress('10.1.0.2') ?? { family: 4 as const, value: 0n }
    LeaseStore.use(dataDir, native.lock, (store) =>
      store.hold({ network: 'net', container: 'owner', ifname: 'eth0' }, [
        { address, pool: '10.1.0.1-10.1.0.5' },
      ]),
    )
    add(dataDir, 'new', hostWith('tulle1 10.1.0.2 eth0 net thief'))
    t.strictSame(heldBy(dataDir, 'owner'), ['10.1.0.2'])
    t.strictSame(heldBy(dataDir, 'thief'), [])
  }))
