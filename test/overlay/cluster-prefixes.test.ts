import fc from 'fast-check'
import { test } from 'tap'
import { type Address, formatAddress } from '../../src/base/address.ts'
import { mergePrefixes } from '../../src/base/merge-prefixes.ts'
import { contains, formatPrefix, overlaps, type Prefix } from '../../src/base/prefix.ts'
import { clusterPrefixes } from '../../src/overlay/cluster-prefixes.ts'
import { holds } from '../base/law.ts'
import { prefix } from '../wire/values.ts'
import { node, options } from './values.ts'

for (const { why, texts, want } of [
  { why: 'none', texts: '', want: '' },
  { why: 'halves are the whole', texts: '10.1.1.0/24 10.1.0.0/24', want: '10.1.0.0/23' },
  { why: 'neighbours that are no halves', texts: '10.1.1.0/24 10.1.2.0/24', want: '= ' },
  {
    why: 'four quarters',
    texts: '10.1.1.0/24 10.1.3.0/24 10.1.0.0/24 10.1.2.0/24',
    want: '10.1.0.0/22',
  },
  {
    why: 'what another covers',
    texts: '10.1.2.0/24 10.1.0.0/16 10.1.2.128/25',
    want: '10.1.0.0/16',
  },
  { why: 'IPv4 first', texts: 'fd01::/64 10.1.1.0/24', want: '10.1.1.0/24 fd01::/64' },
  { why: 'host bits are cleared', texts: '10.1.1.9/24', want: '10.1.1.0/24' },
  { why: 'everything', texts: '0.0.0.0/1 128.0.0.0/1 10.0.0.0/8', want: '0.0.0.0/0' },
])
  test(`mergePrefixes, ${why}`, async (t) => {
    const found = mergePrefixes(texts.split(' ').filter(Boolean).map(prefix))
    t.equal(found.map(formatPrefix).join(' '), want === '= ' ? texts : want)
  })

const anyPrefix: fc.Arbitrary<Prefix> = fc
  .record({ value: fc.bigInt({ min: 0n, max: 255n }), bits: fc.integer({ min: 24, max: 32 }) })
  .map(({ value, bits }) => ({ address: { family: 4, value }, bits }))

test('mergePrefixes covers the same addresses, and nothing twice', async (t) => {
  const law = fc.property(fc.array(anyPrefix, { maxLength: 20 }), (prefixes) => {
    const merged = mergePrefixes(prefixes)
    const isDisjoint = merged.every((one, at) =>
      merged.every((other, place) => place === at || !overlaps(one, other)),
    )
    for (let value = 0n; value < 256n; value++) {
      const address: Address = { family: 4, value }
      const wanted = prefixes.some((one) => contains(one, address))
      if (merged.some((one) => contains(one, address)) !== wanted)
        throw new Error(`Cannot be: ${formatAddress(address)}`)
    }
    return isDisjoint && mergePrefixes([...prefixes].reverse()).length === merged.length
  })
  holds(t, law)
})

test("clusterPrefixes: every node's podCIDRs, or what the options say", async (t) => {
  const nodes = [node('a', '', '10.1.0.0/24 fd01:1::/64'), node('b', '', '10.1.1.0/24')]
  const texts = (found: readonly Prefix[]) => found.map(formatPrefix)
  t.strictSame(texts(clusterPrefixes(nodes, options)), ['10.1.0.0/23', 'fd01:1::/64'])
  const said = { ...options, clusterCIDRs: [prefix('10.0.0.0/8')] }
  t.strictSame(texts(clusterPrefixes(nodes, said)), ['10.0.0.0/8'])
})
