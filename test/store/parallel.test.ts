import { test } from 'tap'
import { formatAddress } from '../../src/base/address.ts'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { free, withFolder } from './folder.ts'
import { Worker } from './process.ts'

const workers = 6
const turns = 24

test(`${workers} processes lease ${turns} times each from one new store at once`, async (t) => {
  await withFolder(async (folder) => {
    const all = Array.from(
      { length: workers },
      (_, at) => new Worker('hammer', folder, `w${at}`, String(turns)),
    )
    const ended = await Promise.all(all.map((worker) => worker.ended()))
    t.strictSame(
      ended.map(({ code, stderr }) => [code, stderr]),
      ended.map(() => [0, '']),
      'nobody fails',
    )
    const held = ended.flatMap(({ stdout }) => JSON.parse(stdout || '[]') as string[])
    t.equal(held.length, (workers * turns * 2) / 3)
    t.equal(new Set(held).size, held.length, 'no address is held twice')

    const store = LeaseStore.open(folder, free)
    const known = store.holders('net').flatMap((id) => store.heldBy(id).map(formatAddress))
    t.strictSame(known.sort(), held.sort(), 'the store knows every one of them')
    t.equal(store.attachments().length, held.length)
    store.rollback()
  })
})
