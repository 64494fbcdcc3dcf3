import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { holds } from '../base/law.ts'
import {
  after,
  afterAll,
  type Event,
  type Files,
  pendingOf,
  readFiles,
  recordDisk,
  writeFiles,
} from './disk.ts'
import { free, withFolder } from './folder.ts'
import { workerWords } from './process.ts'
import { numberOf } from './whole.ts'

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

/** How many transactions a store with these files holds; it may not be moved aside. */
function numberIn(folder: string, files: Files): number {
  writeFiles(folder, files)
  const store = LeaseStore.open(folder, free)
  const number = numberOf(store)
  store.rollback()
  const aside = readdirSync(folder).filter((name) => name.includes('corrupt'))
  return aside.length === 0 ? number : Number.NaN
}

const name = (event: Event): string => `${event.kind} ${'file' in event ? event.file : ''}`

function checkOrder(t: Test, { events }: Commit): void {
  const told = events.findIndex(({ kind }) => kind === 'told')
  t.ok(told > 0, events.map(name).join(', '))
  t.strictSame(
    pendingOf(events.slice(0, told)).map(name),
    [],
    'when it says that it is done, every byte has been synced',
  )
  const isDatabase = (event: Event): boolean => name(event) === 'write tulle.db'
  const first = events.findIndex(isDatabase)
  const journal = pendingOf(events.slice(0, first))
  t.strictSame(journal.map(name), [], 'the journal is on the disk before the database changes')
  const end = events.findLastIndex(({ kind }) => kind === 'truncate')
  const database = pendingOf(events.slice(0, end)).filter(isDatabase)
  t.strictSame(database.map(name), [], 'the database is, before the journal is given up')
  t.ok(events.findLastIndex(isDatabase) < end)
}

/** A write of which the disk did a part, cut at a sector or at any byte. */
function tornWrites(event: Event): readonly Event[] {
  if (event.kind !== 'write') return []
  const lengths = [1, 512, 2048, event.bytes.length - 1]
  return lengths
    .filter((length) => length > 0 && length < event.bytes.length)
    .map((length) => ({ ...event, bytes: event.bytes.subarray(0, length) }))
}

function checkPrefixes(t: Test, { before, events, number, folder }: Commit): void {
  const told = events.findIndex(({ kind }) => kind === 'told')
  const odd: string[] = []
  const seen = new Set<number>()
  let files = before
  for (const [at, event] of events.entries()) {
    const torn = tornWrites(event).map((part) => after(files, part))
    files = after(files, event)
    for (const state of [...torn, files]) {
      const found = numberIn(folder, state)
      seen.add(found)
      const isGood = found === number + 1 || (found === number && at < told)
      if (!isGood) odd.push(`${at} ${name(event)}: ${found}`)
    }
  }
  t.strictSame(odd, [], `a cut after any of ${events.length} calls, or in the middle of one`)
  t.strictSame([...seen].sort(), [number, number + 1], 'the state before it, or after it')
}

for (const number of [0, 4]) {
  const where = number === 0 ? 'a new store' : `a store with ${number} transactions`
  test(`a commit to ${where} survives a power cut at any byte`, async (t) =>
    withCommit(number, (commit) => {
      checkOrder(t, commit)
      checkPrefixes(t, commit)
    }))
}

test('a disk that writes in an order of its own loses nothing either', async (t) => {
  await withCommit(4, ({ before, events, number, folder }) => {
    const told = events.findIndex(({ kind }) => kind === 'told')
    const crash = fc.record({
      at: fc.nat(events.length),
      // of each change that was not synced: all of it, a part, nothing
      fate: fc.infiniteStream(fc.nat(2)),
    })
    const property = fc.property(crash, ({ at, fate }) => {
      const happened = events.slice(0, at)
      const pending = pendingOf(happened)
      const kept = happened.flatMap((event): readonly Event[] => {
        if (!pending.includes(event)) return [event]
        const luck = fate.next().value
        return luck === 0 ? [event] : luck === 1 ? tornWrites(event).slice(-2, -1) : []
      })
      const found = numberIn(folder, afterAll(before, kept))
      return found === number + 1 || (found === number && at <= told)
    })
    holds(t, property, 150)
  })
})
