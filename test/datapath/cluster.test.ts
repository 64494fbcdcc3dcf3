import fc from 'fast-check'
import { test } from 'tap'
import { addressFromBytes, formatAddress } from '../../src/base/address.ts'
import { contains, type Prefix } from '../../src/base/prefix.ts'
import { clusterElements, observedRanges, sameRange } from '../../src/datapath/cluster.ts'
import { inetTable } from '../../src/datapath/ruleset.ts'
import { decodeElements, type Element, newElement } from '../../src/wire/nft/set.ts'
import { holds } from '../base/law.ts'
import { prefix } from '../wire/values.ts'

const text = (bytes: Uint8Array | undefined): string => {
  const address = bytes && addressFromBytes(bytes)
  return address ? formatAddress(address) : 'the end'
}
const lineOf = ({ set, key, until }: Element): string => `${set} ${text(key)} to ${text(until)}`

for (const { why, prefixes, want } of [
  { why: 'nothing', prefixes: '', want: [] },
  {
    why: 'one of each family',
    prefixes: 'fd00:1::/48 10.1.0.0/16',
    want: ['cluster4 10.1.0.0 to 10.2.0.0', 'cluster6 fd00:1:: to fd00:1:1::'],
  },
  {
    why: 'networks that touch are one range',
    prefixes: '10.1.1.0/24 10.1.2.0/24 10.1.4.0/24',
    want: ['cluster4 10.1.1.0 to 10.1.3.0', 'cluster4 10.1.4.0 to 10.1.5.0'],
  },
  {
    why: 'up to the last address',
    prefixes: '255.255.255.0/24 ffff::/16 255.255.254.0/24 255.255.253.0/24',
    want: ['cluster4 255.255.253.0 to the end', 'cluster6 ffff:: to the end'],
  },
  { why: 'everything', prefixes: '0.0.0.0/0', want: ['cluster4 0.0.0.0 to the end'] },
])
  test(`clusterElements: ${why}`, async (t) => {
    const parsed = prefixes.split(' ').filter(Boolean).map(prefix)
    t.strictSame(clusterElements(inetTable, parsed).map(lineOf), want)
  })

const anyPrefix: fc.Arbitrary<Prefix> = fc
  .record({ value: fc.bigInt({ min: 0n, max: 255n }), bits: fc.integer({ min: 24, max: 32 }) })
  .map(({ value, bits }) => ({ address: { family: 4, value: value + 0xffffff00n }, bits }))

test('ranges hold the same addresses, none touches another, and they come back', async (t) => {
  const law = fc.property(fc.array(anyPrefix, { maxLength: 12 }), (prefixes) => {
    const elements = clusterElements(inetTable, prefixes)
    const edgeOf = (bytes: Uint8Array | undefined): bigint =>
      (bytes && addressFromBytes(bytes)?.value) ?? 1n << 32n
    for (let value = 0xffffff00n; value < 1n << 32n; value++) {
      const isWanted = prefixes.some((one) => contains(one, { family: 4, value }))
      const isIn = elements.some(({ key, until }) => edgeOf(key) <= value && value < edgeOf(until))
      if (isIn !== isWanted) return false
    }
    const isApart = elements.every(
      ({ until }) => !elements.some(({ key }) => edgeOf(key) === edgeOf(until)),
    )
    const observed = elements.flatMap((one) => decodeElements(newElement(one).body)).reverse()
    const back = observedRanges(inetTable, observed)
    return (
      isApart &&
      back.length === elements.length &&
      back.every((one, at) => sameRange(one, elements[at] ?? one))
    )
  })
  holds(t, law)
})
