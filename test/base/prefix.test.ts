import fc from 'fast-check'
import { Address4, Address6 } from 'ip-address'
import { test } from 'tap'
import { type Address, formatAddress, parseAddress } from '../../src/base/address.ts'
import {
  boundsOf,
  contains,
  formatPrefix,
  hostPrefix,
  networkOf,
  overlaps,
  type Prefix,
  parsePrefix,
  samePrefix,
} from '../../src/base/prefix.ts'
import { holds } from './law.ts'

const addressOf = (family: 4 | 6): fc.Arbitrary<Address> =>
  fc
    .bigInt({ min: 0n, max: 2n ** (family === 4 ? 32n : 128n) - 1n })
    .map((value) => ({ family, value }))
const prefixOf = (family: 4 | 6): fc.Arbitrary<Prefix> =>
  fc.record({ address: addressOf(family), bits: fc.nat(family === 4 ? 32 : 128) })
const prefix = fc.oneof(prefixOf(4), prefixOf(6))

/** A second prefix that differs in a few low bits: networks often touch or hold each other. */
const near = prefix.chain((one) =>
  fc
    .record({ flip: fc.nat(255), bits: fc.nat(one.address.family === 4 ? 32 : 128) })
    .map(({ flip, bits }) => ({
      one,
      other: { address: { ...one.address, value: one.address.value ^ BigInt(flip) }, bits },
    })),
)

const ipAddressOf = (one: Prefix): Address4 | Address6 =>
  one.address.family === 4 ? new Address4(formatPrefix(one)) : new Address6(formatPrefix(one))

for (const row of [
  { why: 'host bits are kept', text: '10.1.2.3/24', want: '10.1.2.3/24' },
  { why: 'everything', text: '0.0.0.0/0', want: '0.0.0.0/0' },
  { why: 'one address', text: '10.1.2.3/32', want: '10.1.2.3/32' },
  { why: 'everything of IPv6', text: '::/0', want: '::/0' },
  { why: 'one IPv6 address', text: 'FD00::1/128', want: 'fd00::1/128' },
  { why: 'a length of three digits', text: 'fd00::/100', want: 'fd00::/100' },
])
  test(`parsePrefix reads ${row.text}: ${row.why}`, async (t) => {
    const parsed = parsePrefix(row.text)
    t.equal(parsed && formatPrefix(parsed), row.want)
  })

for (const row of [
  { why: 'no length', text: '10.1.2.0' },
  { why: 'an empty length', text: '10.1.2.0/' },
  { why: 'no address', text: '/24' },
  { why: 'one bit too many', text: '10.1.2.0/33' },
  { why: 'one bit too many for IPv6', text: 'fd00::/129' },
  { why: 'an IPv6 length on IPv4', text: '10.1.2.0/64' },
  { why: 'a sign', text: '10.1.2.0/+8' },
  { why: 'below zero', text: '10.1.2.0/-1' },
  { why: 'a leading zero', text: '10.1.2.0/08' },
  { why: 'a fraction', text: '10.1.2.0/8.0' },
  { why: 'hexadecimal', text: '10.1.2.0/0x8' },
  { why: 'a blank', text: '10.1.2.0/ 8' },
  { why: 'a newline', text: '10.1.2.0/8\n' },
  { why: 'two lengths', text: '10.1.2.0/8/8' },
  { why: 'a netmask', text: '10.1.2.0/255.255.255.0' },
  { why: 'a short address, as inet_cidr takes it', text: '10.1/16' },
  { why: 'a zone', text: 'fe80::1%eth0/64' },
])
  test(`parsePrefix refuses ${JSON.stringify(row.text)}: ${row.why}`, async (t) => {
    t.equal(parsePrefix(row.text), undefined)
  })

for (const row of [
  {
    why: 'a /24',
    text: '10.1.2.3/24',
    network: '10.1.2.0/24',
    first: '10.1.2.0',
    last: '10.1.2.255',
  },
  {
    why: 'a length inside an octet',
    text: '10.1.2.77/27',
    network: '10.1.2.64/27',
    first: '10.1.2.64',
    last: '10.1.2.95',
  },
  {
    why: 'a pair (RFC 3021)',
    text: '10.1.2.3/31',
    network: '10.1.2.2/31',
    first: '10.1.2.2',
    last: '10.1.2.3',
  },
  {
    why: 'one address',
    text: '10.1.2.3/32',
    network: '10.1.2.3/32',
    first: '10.1.2.3',
    last: '10.1.2.3',
  },
  {
    why: 'everything',
    text: '10.1.2.3/0',
    network: '0.0.0.0/0',
    first: '0.0.0.0',
    last: '255.255.255.255',
  },
  {
    why: 'the sign bit of 32',
    text: '192.0.2.1/1',
    network: '128.0.0.0/1',
    first: '128.0.0.0',
    last: '255.255.255.255',
  },
  {
    why: 'a /64',
    text: 'fd00::1:2/64',
    network: 'fd00::/64',
    first: 'fd00::',
    last: 'fd00::ffff:ffff:ffff:ffff',
  },
  {
    why: 'an IPv6 pair (RFC 6164)',
    text: 'fd00::1/127',
    network: 'fd00::/127',
    first: 'fd00::',
    last: 'fd00::1',
  },
])
  test(`networkOf and boundsOf ${row.text}: ${row.why}`, async (t) => {
    const parsed = parsePrefix(row.text)
    if (!parsed) throw new Error('Cannot happen: the table has good prefixes')
    const { first, last } = boundsOf(parsed)
    t.equal(formatPrefix(networkOf(parsed)), row.network)
    t.equal(formatAddress(first), row.first)
    t.equal(formatAddress(last), row.last)
  })

test('boundsOf agrees with ip-address', async (t) => {
  const agree = (one: Prefix) => {
    const { first, last } = boundsOf(one)
    const other = ipAddressOf(one)
    return (
      first.value === other.startAddress().bigInt() && last.value === other.endAddress().bigInt()
    )
  }
  holds(t, fc.property(prefix, agree), 1000)
})

test('contains agrees with ip-address, on near addresses of the same family', async (t) => {
  const agree = fc.property(near, ({ one, other }) => {
    const text = formatAddress(other.address)
    const single = other.address.family === 4 ? new Address4(text) : new Address6(text)
    return contains(one, other.address) === single.isInSubnet(ipAddressOf(one))
  })
  holds(t, agree, 1000)
})

for (const row of [
  { why: 'its first address', prefix: '10.1.2.0/24', address: '10.1.2.0', want: true },
  { why: 'its last address', prefix: '10.1.2.0/24', address: '10.1.2.255', want: true },
  { why: 'host bits do not matter', prefix: '10.1.2.77/24', address: '10.1.2.1', want: true },
  { why: 'just before it', prefix: '10.1.2.0/24', address: '10.1.1.255', want: false },
  { why: 'just behind it', prefix: '10.1.2.0/24', address: '10.1.3.0', want: false },
  {
    why: 'everything holds all of its family',
    prefix: '0.0.0.0/0',
    address: '255.1.2.3',
    want: true,
  },
  { why: 'everything of IPv4 holds no IPv6', prefix: '0.0.0.0/0', address: '::1', want: false },
  { why: 'everything of IPv6 holds no IPv4', prefix: '::/0', address: '10.1.2.3', want: false },
  { why: 'IPv4-mapped is IPv6', prefix: '10.0.0.0/8', address: '::ffff:10.1.2.3', want: false },
])
  test(`contains: ${row.why}`, async (t) => {
    const address = parseAddress(row.address)
    const parsed = parsePrefix(row.prefix)
    t.equal(parsed && address && contains(parsed, address), row.want)
  })

for (const row of [
  { why: 'the outer and the inner', left: '10.0.0.0/8', right: '10.1.2.0/24', want: true },
  { why: 'equal networks', left: '10.1.2.0/24', right: '10.1.2.9/24', want: true },
  { why: 'neighbours', left: '10.1.2.0/25', right: '10.1.2.128/25', want: false },
  { why: 'other families', left: '0.0.0.0/0', right: '::/0', want: false },
])
  test(`overlaps: ${row.why}`, async (t) => {
    const [left, right] = [parsePrefix(row.left), parsePrefix(row.right)]
    t.equal(left && right && overlaps(left, right), row.want)
    t.equal(left && right && overlaps(right, left), row.want)
  })

test('two networks overlap exactly if the bounds of one reach into the other', async (t) => {
  const law = fc.property(near, ({ one, other }) => {
    const [left, right] = [boundsOf(one), boundsOf(other)]
    const apart = left.last.value < right.first.value || right.last.value < left.first.value
    return overlaps(one, other) === !apart
  })
  holds(t, law, 1000)
})

test('networkOf is a network already, and text undoes format', async (t) => {
  const settled = (one: Prefix) => samePrefix(networkOf(networkOf(one)), networkOf(one))
  const read = (one: Prefix) => {
    const parsed = parsePrefix(formatPrefix(one))
    return parsed !== undefined && samePrefix(parsed, one)
  }
  holds(t, fc.property(prefix, settled))
  holds(t, fc.property(prefix, read))
})

for (const row of [
  { why: 'all the same', left: '10.1.2.3/24', right: '10.1.2.3/24', want: true },
  {
    why: 'other host bits: the addresses differ',
    left: '10.1.2.3/24',
    right: '10.1.2.4/24',
    want: false,
  },
  { why: 'another length', left: '10.1.2.3/24', right: '10.1.2.3/25', want: false },
  { why: 'the same number in another family', left: '0.0.0.1/32', right: '::1/32', want: false },
])
  test(`samePrefix: ${row.why}`, async (t) => {
    const [left, right] = [parsePrefix(row.left), parsePrefix(row.right)]
    t.equal(left && right && samePrefix(left, right), row.want)
  })

test('hostPrefix holds its address and no other', async (t) => {
  const alone = fc.property(fc.oneof(addressOf(4), addressOf(6)), (address) => {
    const { first, last } = boundsOf(hostPrefix(address))
    return first.value === address.value && last.value === address.value
  })
  holds(t, alone)
})
