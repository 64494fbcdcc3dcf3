import { test } from 'tap'
import { LeaseStore } from '../../src/store/lease-store.ts'
import { free, withFolder } from './folder.ts'
import { Worker } from './process.ts'
import { numberOf } from './whole.ts'

const rounds = 8
/** From the first commit on; a loop of commits is in the middle of one nearly all of the time. */
const lifeMillisecondsMax = 60

test('a process killed in the middle of commits leaves whole transactions', async (t) => {
  await withFolder(async (folder) => {
    let known = 0
    for (let round = 1; round <= rounds; round++) {
      const worker = new Worker('loop', folder)
      await worker.firstLine()
      const { promise, resolve } = Promise.withResolvers<void>()
      setTimeout(resolve, Math.random() * lifeMillisecondsMax)
      await promise
      const { signal, stdout, stderr } = await worker.kill()
      t.equal(signal, 'SIGKILL', stderr)
      const told = Number(stdout.trimEnd().split('\n').at(-1))
      const store = LeaseStore.open(folder, free)
      const found = numberOf(store)
      store.rollback()
      t.ok(found >= told, `round ${round}: ${found} is on record, ${told} was told of`)
      t.ok(found <= told + 1, 'at most one more, which it had no time to tell of')
      t.ok(found > known, 'and it went on where the one before was killed')
      known = found
    }
  })
})
