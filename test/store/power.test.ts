import { readdirSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { test } from 'tap'
import { bootId } from '../../src/store/boot.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { holds } from '../base/law.ts'
import {
  after,
  afterAll,
  type Event,
  type Files,
  readFiles,
  recordDisk,
  writeFiles,
} from './disk.ts'
import { free, withFolder } from './folder.ts'
import { workerWords } from './process.ts'
import { numberOf } from './whole.ts'

// Processes end anywhere, and the next one finds whole transactions. The power goes anywhere, and
// the next boot finds a store that works: nothing is leased there any more.

type Commit = Readonly<{
  before: Files
  events: readonly Event[]
  /** Transactions on record before it. */
  number: number
  /** For copies. */
  folder: string
}>

/** Records one commit, on a new store or on one that holds some transactions already. */
async function withCommit(number: number, use: (commit: Commit) => void): Promise<void> {
  await withFolder((folder) => {
    const live = `${folder}/live`
    writeFiles(live, new Map())
    for (let at = 0; at < number; at++) recordDisk(live, workerWords('once', live))
    const before = readFiles(live)
    const events = recordDisk(live, workerWords('once', live))
    use({ before, events, number, folder: `${folder}/copy` })
  })
}

const isAside = (name: string): boolean => name.includes('corrupt')

/** How many transactions a process of the same boot finds; it may not move the store aside. */
function numberIn(folder: string, files: Files): number {
  writeFiles(folder, files)
  writeFileSync(`${folder}/tulle.boot`, bootId())
  const store = LeaseStore.open(folder, free)
  const number = numberOf(store)
  store.rollback()
  return readdirSync(folder).some(isAside) ? Number.NaN : number
}

const name = (event: Event): string => `${event.kind} ${'file' in event ? event.file : ''}`

for (const number of [0, 4])
  test(`a process that ends anywhere in commit ${number + 1}`, async (t) =>
    withCommit(number, ({ before, events, folder }) => {
      const told = events.findIndex(({ kind }) => kind === 'told')
      t.ok(told > 0, events.map(name).join(', '))
      const odd: string[] = []
      const seen = new Set<number>()
      let files = before
      for (const [at, event] of events.entries()) {
        files = after(files, event)
        const found = numberIn(folder, files)
        seen.add(found)
        const isGood = found === number + 1 || (found === number && at < told)
        if (!isGood) odd.push(`${at} ${name(event)}: ${found}`)
      }
      t.strictSame(odd, [], `the state before it, or after it: ${events.length} calls`)
      t.strictSame([...seen].sort(), [number, number + 1])
    }))

test('the mark of this boot is on the disk before anything else is written', async (t) =>
  withCommit(0, ({ events }) => {
    const names = events.map(name)
    const folder = names.indexOf('sync .')
    const mark = names.findIndex((text) => text.startsWith('sync .tulle-part'))
    const first = names.findIndex((text) => text.startsWith('write tulle.db'))
    t.ok(mark >= 0 && mark < folder && folder < first, names.join(', '))
  }))

test('nobody waits for the disk once the mark is there', async (t) =>
  withFolder((folder) => {
    const live = `${folder}/live`
    writeFiles(live, new Map())
    recordDisk(live, workerWords('once', live))
    const names = recordDisk(live, workerWords('once', live)).map(name)
    t.ok(names.includes('write tulle.db'), names.join(', '))
    t.notOk(
      names.some((text) => text.startsWith('sync')),
      names.join(', '),
    )
  }))

/** What became of one change when the power went. */
type Fate = 'kept' | 'lost' | 'torn'

function kept(event: Event, fate: Fate): readonly Event[] {
  if (fate === 'kept') return [event]
  if (fate === 'lost' || event.kind !== 'write' || event.bytes.length < 2) return []
  return [{ ...event, bytes: event.bytes.subarray(0, event.bytes.length >> 1) }]
}

/** As the first ADD of a boot does, and the one after it. */
function liveOn(folder: string): number {
  LeaseStore.use(folder, free, (store) => {
    store.releaseAll()
    if (store.leases().length > 0 || store.attachments().length > 0)
      throw new Error('Cannot go on: something of the last boot is leased still')
    store.setMeta('number', '0')
  })
  LeaseStore.use(folder, free, (store) => {
    const id = { network: 'net', container: 'c1', ifname: 'eth0' }
    const pool = '10.1.0.2-10.1.0.254'
    store.hold(id, [{ address: { family: 4, value: 0x0a010002n }, pool }])
  })
  return LeaseStore.use(folder, free, (store) => store.leases().length)
}

test('whatever the disk kept of what was written when the power went', async (t) => {
  await withCommit(4, ({ before, events, folder }) => {
    const crash = fc.record({
      at: fc.nat(events.length),
      fates: fc.infiniteStream(fc.constantFrom<Fate>('kept', 'kept', 'lost', 'torn')),
      order: fc.infiniteStream(fc.nat()),
    })
    const property = fc.property(crash, ({ at, fates, order }) => {
      const changes = events.slice(0, at).map((event) => ({ event, rank: order.next().value ?? 0 }))
      const left = changes
        .toSorted((one, other) => one.rank - other.rank)
        .flatMap(({ event }) => kept(event, fates.next().value ?? 'kept'))
      writeFiles(folder, afterAll(before, left))
      writeFileSync(`${folder}/tulle.boot`, 'another boot')
      return liveOn(folder) === 1
    })
    holds(t, property, 300)
  })
})
