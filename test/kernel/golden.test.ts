import { test } from 'tap'
import { capture } from '../wire/capture.ts'
import {
  addressShape,
  linesOf,
  linkShape,
  messagesOf,
  neighbourShape,
  nftShape,
  readGolden,
  routeShape,
  type Shape,
  typesOf,
} from '../wire/golden.ts'
import { recipes } from '../wire/recipes.ts'

// The golden files can be made again: `ip` and `nft` of this machine still say the same. Where this
// fails after an upgrade, `node test/wire/capture.ts` makes them anew, and the difference is read.

const rtnlShapes = [linkShape, addressShape, routeShape, neighbourShape]
/** RTM_NEWLINK is 16, RTM_NEWADDR 20, …; nf_tables has its subsystem in the high byte. */
const shapeOf = (type: number): Shape => rtnlShapes[(type - 16) >> 2] ?? nftShape
/** Facts, not bytes: libmnl leaves in the padding what was there before. */
const factsOf = (datagram: Buffer): readonly string[] =>
  messagesOf(datagram).flatMap((one) => linesOf(one, shapeOf(one.type)))

for (const recipe of recipes.filter(({ way }) => way === 'sent'))
  test(`golden ${recipe.name}: ${recipe.command} still sends it`, async (t) => {
    t.strictSame(factsOf(Buffer.from(capture(recipe))), factsOf(readGolden(recipe.name)))
  })

/** The kernel's answers hold counters and times: what stays is how many there are, of what kind. */
for (const recipe of recipes.filter(({ way }) => way === 'received'))
  test(`golden ${recipe.name}: ${recipe.command} is still answered by the like`, async (t) => {
    const [now, then] = [Buffer.from(capture(recipe)), readGolden(recipe.name)]
    t.strictSame(new Set(typesOf(now)), new Set(typesOf(then)))
    t.equal(messagesOf(now).length, messagesOf(then).length)
  })
