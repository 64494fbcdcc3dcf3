import { test } from 'tap'
import { capture } from '../wire/capture.ts'
import { messagesOf, readGolden, rowsOf, typesOf } from '../wire/golden.ts'
import { recipes } from '../wire/recipes.ts'

// The golden files can be made again: `ip` and `nft` of this machine still say the same. Where this
// fails after an upgrade, `node test/wire/capture.ts` makes them anew, and the difference is read.

for (const recipe of recipes.filter(({ way }) => way === 'sent'))
  test(`golden ${recipe.name}: ${recipe.command} still sends it`, async (t) => {
    t.strictSame(rowsOf(capture(recipe)), rowsOf(readGolden(recipe.name)))
  })

/** What the kernel answers holds counters and times: of a golden answer, the kinds of message stay. */
for (const recipe of recipes.filter(({ way }) => way === 'received'))
  test(`golden ${recipe.name}: ${recipe.command} is still answered by the like`, async (t) => {
    const [now, then] = [Buffer.from(capture(recipe)), readGolden(recipe.name)]
    t.strictSame(new Set(typesOf(now)), new Set(typesOf(then)))
    t.equal(messagesOf(now).length, messagesOf(then).length)
  })
