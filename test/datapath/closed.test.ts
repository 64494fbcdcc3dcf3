import { test } from 'tap'
import { toHex } from '../../src/base/bytes.ts'
import { closingElements, forgetQueries, isClosing, verdictsOf } from '../../src/datapath/closed.ts'
import { holdingOf } from '../../src/datapath/holding.ts'
import { elementsOf } from '../../src/datapath/ruleset.ts'
import type { Element } from '../../src/wire/nft/set.ts'
import { attachmentOf, families, modes } from './attachments.ts'

const textOf = ({ family, table, set, key }: Element): string =>
  `${family} ${table} ${set} ${toHex(key)}`
const v4 = toHex(Uint8Array.of(10, 1, 0, 5))
const v6 = toHex(Uint8Array.of(0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5))

test('each address of a pod that policies hold for is closed, and no other’s', async (t) => {
  for (const mode of modes)
    for (const of of families) {
      const open = attachmentOf(mode, of)
      t.strictSame(closingElements(open), [], `${mode} ${of}`)
      t.strictSame(closingElements({ ...open, isPoliced: false }), [])
      t.strictSame(elementsOf(open).filter(isClosing), [], 'nor by mistake')
      const closed = { ...open, isPoliced: true }
      const wanted = [
        ...(of === 'v6' ? [] : [`inet tulle-policy policed4 ${v4}`]),
        ...(of === 'v4' ? [] : [`inet tulle-policy policed6 ${v6}`]),
      ]
      t.strictSame(closingElements(closed).map(textOf), wanted, `${mode} ${of}, policed`)
      const held = holdingOf(closed).elements.filter(isClosing)
      t.strictSame(held.map(textOf), wanted, 'and is in what it holds')
      t.ok(held.every(({ comment, isTakenOver }) => comment === 'net/c1/eth0' && isTakenOver))
      const keys = (elements: readonly Element[]): readonly string[] => elements.map(textOf)
      const others = holdingOf(closed).elements.filter((element) => !isClosing(element))
      t.strictSame(keys(others), keys(holdingOf(open).elements), 'beside what it has anyway')
    }
})

test('an address is open with both verdicts; of other elements there are none', async (t) => {
  const holding = holdingOf(attachmentOf('bridge', 'dual', { isPoliced: true }))
  t.strictSame(verdictsOf(holding.elements).map(textOf), [
    `inet tulle-policy egress4 ${v4}`,
    `inet tulle-policy ingress4 ${v4}`,
    `inet tulle-policy egress6 ${v6}`,
    `inet tulle-policy ingress6 ${v6}`,
  ])
})

test('where no verdict was left, no connection need be judged anew', async (t) => {
  const verdicts = verdictsOf(closingElements(attachmentOf('routed', 'dual', { isPoliced: true })))
  t.strictSame(forgetQueries([]), [])
  t.equal(forgetQueries(verdicts).length, verdicts.length + 1)
})
