import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import { StoreBroken } from '../../src/store/database.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { holds } from '../base/law.ts'
import { attachmentOf } from '../datapath/attachments.ts'
import { free, withFolder } from './folder.ts'

const pool = '10.1.0.1-10.1.0.254'
const count = 90
const idOf = (number: number) => ({ network: 'net', container: `c${number}`, ifname: 'eth0' })
const addressOf = (number: number) =>
  parseAddress(`10.1.0.${number}`) ?? { family: 4 as const, value: 0n }

/** A store of some pages: attachments, held and released addresses, a cursor. */
function fill(folder: string): Buffer {
  LeaseStore.use(folder, free, (store) => {
    store.setMeta('life', 'one')
    for (let number = 2; number <= count; number++) {
      store.putAttachment(attachmentOf('routed', 'v4', idOf(number)))
      store.hold(idOf(number), [{ address: addressOf(number), pool }])
      if (number % 5 === 0) store.release(idOf(number))
    }
    store.setCursors('net', [{ pool, next: addressOf(count + 1) }])
  })
  return readFileSync(`${folder}/tulle.db`)
}

/** Everything that a verb asks of a store, and a change of everything that a verb changes. */
function ask(store: LeaseStore): object {
  const book = store.book('net')
  const told = {
    life: store.meta('life'),
    records: store.attachments().length,
    holders: store.holders('net').length,
    held: Array.from({ length: count }, (_, at) => book.holderOf(addressOf(at), pool)),
    cursor: String(book.cursorOf(pool)?.value),
    oldest: book.oldestReleased(pool)?.turn,
  }
  store.setMeta('recovered net', 'yes')
  store.putAttachment(attachmentOf('routed', 'v4', idOf(200)))
  store.hold(idOf(200), [{ address: addressOf(200), pool }])
  store.release(idOf(2))
  store.release(idOf(200))
  return told
}

/** A shorter file holds nothing that is worth keeping. */
const headerBytes = 100

type Outcome = 'kept' | 'moved aside' | 'damaged' | `refused: ${string}`

/**
 * What becomes of a folder with these files: the store as it was, or a new one beside the old file.
 * "damaged": it opened, and tells something else than it was told. "refused": an error.
 */
function outcomeOf(
  folder: string,
  files: Readonly<Record<string, Buffer>>,
  whole: string,
): Outcome {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const [name, bytes] of Object.entries(files)) writeFileSync(`${folder}/${name}`, bytes)
  let told: string
  try {
    told = JSON.stringify(LeaseStore.use(folder, free, ask))
  } catch (refusal) {
    // a schema number that became another is a newer Tulle's, as far as anybody can tell
    if (refusal instanceof StoreBroken) return 'kept'
    return `refused: ${String(refusal)}`
  }
  const again = LeaseStore.use(folder, free, (store) => store.meta('recovered net'))
  if (again !== 'yes') throw new Error('what was committed is lost')
  const aside = readdirSync(folder).filter((name) => /^tulle\.db\.corrupt-\d+$/.test(name))
  if (told === whole) return 'kept'
  if (told !== empty) return 'damaged'
  const [kept] = aside
  const { length = 0 } = files['tulle.db'] ?? {}
  const isKept = kept !== undefined && readFileSync(`${folder}/${kept}`).length > 0
  if (!isKept && length >= headerBytes) throw new Error('the damaged file is gone')
  return 'moved aside'
}

const held = Array.from({ length: count }, () => undefined)
const empty = JSON.stringify({ records: 0, holders: 0, held, cursor: 'undefined' })

type Sample = { readonly whole: string; readonly bytes: Buffer; readonly folder: string }

const withStore = (use: (sample: Sample) => void): Promise<void> =>
  withFolder((folder) => {
    const bytes = fill(`${folder}/whole`)
    const copy = `${folder}/copy`
    mkdirSync(copy)
    writeFileSync(`${copy}/tulle.db`, bytes)
    const whole = JSON.stringify(LeaseStore.use(copy, free, ask))
    use({ whole, bytes, folder: copy })
  })

const isGood = (outcome: Outcome): boolean => outcome === 'kept' || outcome === 'moved aside'

function countOutcomes(t: Test, outcomes: readonly Outcome[]): void {
  const counts = new Map<string, number>()
  for (const one of outcomes) counts.set(one, (counts.get(one) ?? 0) + 1)
  t.comment([...counts].map(([name, number]) => `${number} ${name}`).join(', '))
}

test('cut short at any sector: as it was, or moved aside', async (t) =>
  withStore(({ whole, bytes, folder }) => {
    t.ok(bytes.length > 16 * 1024, `${bytes.length} bytes`)
    const lengths = Array.from({ length: Math.ceil(bytes.length / 512) }, (_, at) => at * 512)
    const outcomes = lengths.map((length) =>
      outcomeOf(folder, { 'tulle.db': bytes.subarray(0, length) }, whole),
    )
    countOutcomes(t, outcomes)
    const odd = outcomes.flatMap((one, at) => (isGood(one) ? [] : [`${lengths[at]}: ${one}`]))
    t.strictSame(odd, [], 'never an error, nor a part of what it was told')
    t.equal(outcomes[0], 'moved aside', 'an empty file, as a power cut leaves it')
  }))

test('cut short anywhere', async (t) =>
  withStore(({ whole, bytes, folder }) => {
    const property = fc.property(fc.nat(bytes.length - 1), (length) => {
      const outcome = outcomeOf(folder, { 'tulle.db': bytes.subarray(0, length) }, whole)
      if (!isGood(outcome)) throw new Error(outcome)
    })
    holds(t, property, 60)
  }))

// From here on another text may be read where a text stood: SQLite keeps no checksums. What must
// not be is a store that answers nothing but errors from now on.
type Damage = (bytes: Buffer) => fc.Arbitrary<Buffer>

const over =
  (bytes: Buffer) =>
  ({ at, by }: { at: number; by: Uint8Array }): Buffer => {
    const damaged = Buffer.from(bytes)
    Buffer.from(by).copy(damaged, at)
    return damaged
  }
const sector = (bytes: Buffer): fc.Arbitrary<number> =>
  fc.nat(Math.floor(bytes.length / 512) - 1).map((number) => number * 512)
const sectorOf =
  (byte: number): Damage =>
  (bytes) =>
    fc.record({ at: sector(bytes), by: fc.constant(Buffer.alloc(512, byte)) }).map(over(bytes))

const damages: Readonly<Record<string, Damage>> = {
  'a sector of zeros': sectorOf(0),
  'a sector of ones': sectorOf(0xff),
  'a sector in another one’s place': (bytes) =>
    fc
      .record({
        at: sector(bytes),
        by: sector(bytes).map((from) => bytes.subarray(from, from + 512)),
      })
      .map(over(bytes)),
  'noise somewhere': (bytes) =>
    fc
      .record({
        at: fc.nat(bytes.length - 64),
        by: fc.uint8Array({ minLength: 1, maxLength: 64 }),
      })
      .map(over(bytes)),
}

for (const [why, damage] of Object.entries(damages)) {
  test(`${why}: opened or moved aside`, async (t) =>
    withStore(({ whole, bytes, folder }) => {
      const outcomes: Outcome[] = []
      const property = fc.property(damage(bytes), (damaged) => {
        const outcome = outcomeOf(folder, { 'tulle.db': damaged }, whole)
        outcomes.push(outcome)
        if (outcome.startsWith('refused')) throw new Error(outcome)
      })
      holds(t, property, 80)
      countOutcomes(t, outcomes)
    }))
}

for (const byte of [0x00, 0xff]) {
  test(`any byte of the file's header is ${byte}: opened or moved aside`, async (t) =>
    withStore(({ whole, bytes, folder }) => {
      const odd: string[] = []
      for (let at = 0; at < headerBytes; at++) {
        const damaged = over(bytes)({ at, by: Uint8Array.of(byte) })
        const outcome = outcomeOf(folder, { 'tulle.db': damaged }, whole)
        if (outcome.startsWith('refused')) odd.push(`${at}: ${outcome}`)
      }
      t.strictSame(odd, [])
    }))
}

for (const { why, files } of [
  { why: 'no database at all', files: { 'tulle.db': Buffer.from('not a database\n'.repeat(99)) } },
  {
    why: 'a journal that is noise beside a good file',
    files: { 'tulle.db-journal': Buffer.alloc(5000, 7) },
  },
  { why: 'an empty journal', files: { 'tulle.db-journal': Buffer.alloc(0) } },
]) {
  test(`opened or moved aside: ${why}`, async (t) =>
    withStore(({ whole, bytes, folder }) => {
      const outcome = outcomeOf(folder, { 'tulle.db': bytes, ...files }, whole)
      t.equal(outcome, 'tulle.db' in files ? 'moved aside' : 'kept')
    }))
}

test('a file that is moved aside is kept as it was', async (t) =>
  withFolder((folder) => {
    const database = Buffer.alloc(9000, 1)
    writeFileSync(`${folder}/tulle.db`, database)
    LeaseStore.use(folder, free, (store) => store.setMeta('life', 'two'))
    const names = readdirSync(folder).filter((name) => name.includes('corrupt'))
    t.match(names.join(' '), /^tulle\.db\.corrupt-\d{13}$/)
    t.ok(readFileSync(`${folder}/${names[0]}`).equals(database))
    t.ok(existsSync(`${folder}/tulle.db`))
  }))
