import { test } from 'tap'
import { capture } from '../wire/capture.ts'
import {
  addressShape,
  linesOf,
  linkShape,
  messagesOf,
  neighbourShape,
  nftShape,
  qdiscShape,
  readGolden,
  routeShape,
  type Shape,
  trafficShape,
  typesOf,
} from '../wire/golden.ts'
import { recipes } from '../wire/recipes.ts'

// The golden files can be made again: `ip` and `nft` of this machine still say the same. Where this
// fails after an upgrade, `node test/wire/capture.ts` makes them anew, and the difference is read.

/** By the first of their four types: RTM_NEWLINK, RTM_NEWADDR, … (linux/rtnetlink.h). */
const rtnlShapes = new Map([
  [16, linkShape],
  [20, addressShape],
  [24, routeShape],
  [28, neighbourShape],
  [36, qdiscShape],
  [44, trafficShape],
])
/** nf_tables has its subsystem in the high byte. */
const shapeOf = (type: number): Shape => rtnlShapes.get(type & ~3) ?? nftShape
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
    // Neighbours of multicast groups are there once IPv6 has first spoken, which takes its time.
    if (recipe.name !== 'reply-neighbours') t.equal(messagesOf(now).length, messagesOf(then).length)
  })
