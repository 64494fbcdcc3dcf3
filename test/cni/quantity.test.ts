import fc from 'fast-check'
import { test } from 'tap'
import { quantityOf } from '../../src/cni/quantity.ts'
import { holds } from '../base/law.ts'

// k8s.io/apimachinery/pkg/api/resource, "Quantity": what it takes, and Value() of it.
for (const { why, text, want } of [
  { why: 'no suffix', text: '1000', want: 1000 },
  { why: 'thousands', text: '512k', want: 512_000 },
  { why: 'millions', text: '10M', want: 10_000_000 },
  { why: 'a fraction of them', text: '1.5G', want: 1_500_000_000 },
  { why: 'a fraction that binary floats cannot hold', text: '0.1M', want: 100_000 },
  { why: 'a fraction without digits before the point', text: '.5k', want: 500 },
  { why: 'a fraction without digits after the point', text: '5.k', want: 5000 },
  { why: 'a sign', text: '+5k', want: 5000 },
  { why: 'binary thousands', text: '1Ki', want: 1024 },
  { why: 'binary millions', text: '1Mi', want: 1_048_576 },
  { why: 'an exponent', text: '2e6', want: 2_000_000 },
  { why: 'a large exponent letter', text: '2E6', want: 2_000_000 },
  { why: 'thousandths, rounded up', text: '1500m', want: 2 },
  { why: 'Kubernetes’ largest rate', text: '1P', want: 1e15 },
  { why: 'nothing', text: '', want: undefined },
  { why: 'a suffix alone', text: 'M', want: undefined },
  { why: 'a negative one', text: '-1M', want: undefined },
  { why: 'a capital K is none of Kubernetes’ suffixes', text: '1K', want: undefined },
  { why: 'a blank', text: '10 M', want: undefined },
  { why: 'a unit of ours', text: '10Mbit', want: undefined },
  { why: 'more than a number can tell exactly', text: '10E', want: undefined },
  { why: 'hex', text: '0x10', want: undefined },
  { why: 'two points', text: '1.2.3M', want: undefined },
])
  test(`quantityOf ${JSON.stringify(text)}: ${why}`, async (t) => t.equal(quantityOf(text), want))

test('whole numbers are what they are times their suffix', async (t) => {
  const suffix = fc.constantFrom(['', 1], ['k', 1e3], ['M', 1e6], ['G', 1e9], ['Ki', 1024])
  const property = fc.property(fc.nat(999_999), suffix, (count, [text, times]) => {
    return quantityOf(`${count}${text}`) === count * Number(times)
  })
  return holds(t, property)
})
