import { isIPv4, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { Address4, Address6 } from 'ip-address'
import { test } from 'tap'
import {
  type Address,
  addressBits,
  addressBytes,
  addressFromBytes,
  addressKey,
  formatAddress,
  offsetAddress,
  parseAddress,
  sameAddress,
} from '../../src/base/address.ts'
import { toHex } from '../../src/base/bytes.ts'
import { holds } from './law.ts'

const max4 = 2n ** 32n - 1n
const max6 = 2n ** 128n - 1n
const ipv4: fc.Arbitrary<Address> = fc
  .bigInt({ min: 0n, max: max4 })
  .map((value) => ({ family: 4, value }))
/** Half of the groups are zero: runs of zeros of every length and place are what is told apart. */
const ipv6: fc.Arbitrary<Address> = fc
  .array(fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 0xffffn })), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups) => ({ family: 6, value: groups.reduce((sum, group) => sum * 65536n + group, 0n) }))
const address = fc.oneof(ipv4, ipv6)

for (const row of [
  { why: 'all zeros', text: '0.0.0.0', want: { family: 4, value: 0n } },
  { why: 'all ones', text: '255.255.255.255', want: { family: 4, value: max4 } },
  { why: 'octets in network order', text: '10.1.0.5', want: { family: 4, value: 0x0a010005n } },
  { why: 'the empty IPv6 address', text: '::', want: { family: 6, value: 0n } },
  { why: 'loopback', text: '::1', want: { family: 6, value: 1n } },
  { why: 'zeros at the end', text: '1::', want: { family: 6, value: 1n << 112n } },
  { why: 'eight groups', text: '1:2:3:4:5:6:7:8', want: 0x00010002000300040005000600070008n },
  {
    why: '`::` for a single group',
    text: '1:2:3::5:6:7:8',
    want: 0x00010002000300000005000600070008n,
  },
  { why: 'leading zeros in a group', text: '2001:0db8::0001', want: (0x20010db8n << 96n) + 1n },
  { why: 'upper case', text: 'FE80::A', want: (0xfe80n << 112n) + 0xan },
  { why: 'all ones', text: 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', want: max6 },
  { why: 'a dotted quad at the end', text: '::ffff:10.1.0.5', want: 0xffff0a010005n },
  { why: 'a dotted quad after six groups', text: '0:0:0:0:0:1:10.1.0.5', want: 0x10a010005n },
] as const) {
  const want = typeof row.want === 'bigint' ? ({ family: 6, value: row.want } as const) : row.want
  test(`parseAddress reads ${row.text}: ${row.why}`, async (t) => {
    t.strictSame(parseAddress(row.text), want)
  })
}

for (const row of [
  { why: 'nothing', text: '' },
  { why: 'three octets', text: '10.1.2' },
  { why: 'five octets', text: '10.1.2.3.4' },
  { why: 'an empty octet', text: '10..0.1' },
  { why: 'an octet over 255', text: '10.0.0.256' },
  { why: 'an octet over 999', text: '10.0.0.1000' },
  { why: 'a leading zero: octal to some, decimal to others', text: '010.0.0.1' },
  { why: 'two zeros', text: '00.0.0.1' },
  { why: 'a sign', text: '+1.0.0.1' },
  { why: 'hexadecimal', text: '0x0a.0.0.1' },
  { why: 'an exponent', text: '1e1.0.0.1' },
  { why: 'a blank in front', text: ' 10.0.0.1' },
  { why: 'a newline behind', text: '10.0.0.1\n' },
  { why: 'a prefix length', text: '10.0.0.1/8' },
  { why: 'digits that are not ASCII', text: '١٠.0.0.1' },
  { why: 'a name', text: 'localhost' },
  { why: 'one colon', text: ':' },
  { why: 'three colons', text: ':::' },
  { why: '`::` twice', text: '1::2::3' },
  { why: 'a colon in front', text: ':1:2:3:4:5:6:7:8' },
  { why: 'a colon behind', text: '1:2:3:4:5:6:7:8:' },
  { why: 'seven groups', text: '1:2:3:4:5:6:7' },
  { why: 'nine groups', text: '1:2:3:4:5:6:7:8:9' },
  { why: '`::` that stands for no group', text: '1:2:3:4::5:6:7:8' },
  { why: 'five digits in a group', text: '12345::' },
  { why: 'a letter that is no digit', text: 'g::' },
  { why: 'a zone', text: 'fe80::1%eth0' },
  { why: 'brackets', text: '[::1]' },
  { why: 'an IPv6 prefix length', text: '::/0' },
  { why: 'a dotted quad in front', text: '10.1.0.5::' },
  { why: 'a dotted quad in the middle', text: '::10.1.0.5:1' },
  { why: 'a dotted quad after seven groups', text: '1:2:3:4:5:6:7:10.1.0.5' },
  { why: 'a dotted quad with a leading zero', text: '::ffff:10.01.0.5' },
])
  test(`parseAddress refuses ${JSON.stringify(row.text)}: ${row.why}`, async (t) => {
    t.equal(parseAddress(row.text), undefined)
  })

/** Near-misses: pieces of addresses and what people take for them, joined as addresses are. */
const oddOctet = fc.constantFrom('', '01', '0x1', '1e1', ' 1', '-0', '256', '1000')
const octet = fc.oneof({ weight: 6, arbitrary: fc.nat(255).map(String) }, oddOctet)
const quad = fc.array(octet, { minLength: 3, maxLength: 5 }).map((octets) => octets.join('.'))
const group = fc.oneof(
  { weight: 8, arbitrary: fc.nat(0xffff).map((value) => value.toString(16)) },
  { weight: 3, arbitrary: fc.constant('') },
  fc.constantFrom('0', '00000', 'g', 'FFFF', '-1'),
)
const groups = fc
  .array(group, { minLength: 1, maxLength: 10 })
  .chain((words) =>
    fc.constantFrom(words.join(':'), `::${words.join(':')}`, `${words.join(':')}::`),
  )
const mixed = fc.tuple(groups, quad).map(([head, tail]) => `${head}:${tail}`)

for (const { name, text } of [
  { name: 'dotted quads', text: quad },
  { name: 'groups', text: groups },
  { name: 'groups with a dotted quad', text: mixed },
  { name: 'any text', text: fc.string() },
])
  test(`parseAddress agrees with node:net on ${name}`, async (t) => {
    const agree = fc.property(text, (one) => {
      const want = isIPv4(one) ? 4 : isIPv6(one) ? 6 : undefined
      // node:net takes zones ("fe80::1%eth0"), which no address of a configuration may have
      return one.includes('%') || parseAddress(one)?.family === want
    })
    holds(t, agree, 2000)
  })

// RFC 5952: the numbers are its sections; sections 1 and 2 give the forms that are read alike.
for (const row of [
  { why: '4.1 no leading zeros', text: '2001:0db8::0001', want: '2001:db8::1' },
  { why: '4.2.1 as short as can be', text: '2001:db8:0:0:0:0:2:1', want: '2001:db8::2:1' },
  { why: '4.2.2 no :: for one group', text: '2001:db8:0:1:1:1:1:1', want: '2001:db8:0:1:1:1:1:1' },
  { why: '4.2.2 one group as ::', text: '2001:db8::1:1:1:1:1', want: '2001:db8:0:1:1:1:1:1' },
  { why: '4.2.3 the longest run', text: '2001:0:0:1:0:0:0:1', want: '2001:0:0:1::1' },
  { why: '4.2.3 the first of equal runs', text: '2001:db8:0:0:1:0:0:1', want: '2001:db8::1:0:0:1' },
  { why: '4.3 lower case', text: '2001:DB8::AAAA', want: '2001:db8::aaaa' },
  { why: '2.2 all forms are one', text: '2001:db8:0:0:1::1', want: '2001:db8::1:0:0:1' },
  { why: 'a run at the start', text: '0:0:0:0:0:0:0:1', want: '::1' },
  { why: 'a run at the end', text: '1:0:0:0:0:0:0:0', want: '1::' },
  { why: 'nothing but zeros', text: '0:0:0:0:0:0:0:0', want: '::' },
  { why: 'no zeros', text: '1:2:3:4:5:6:7:8', want: '1:2:3:4:5:6:7:8' },
  // section 5 recommends ::ffff:10.1.0.5 here; no pool has such an address, so hex is enough
  { why: '5 IPv4-mapped, in hex', text: '::ffff:10.1.0.5', want: '::ffff:a01:5' },
  { why: 'a dotted quad as it is', text: '10.1.0.5', want: '10.1.0.5' },
])
  test(`formatAddress: RFC 5952 ${row.why}`, async (t) => {
    const parsed = parseAddress(row.text)
    t.equal(parsed && formatAddress(parsed), row.want)
  })

test('formatAddress writes what ip-address writes', async (t) => {
  const alike4 = (one: Address) =>
    formatAddress(one) === Address4.fromBigInt(one.value).correctForm()
  const alike6 = (one: Address) =>
    formatAddress(one) === Address6.fromBigInt(one.value).correctForm()
  holds(t, fc.property(ipv4, alike4))
  holds(t, fc.property(ipv6, alike6), 1000)
})

test('parseAddress reads every form that ip-address writes', async (t) => {
  const forms = ({ value }: Address): readonly string[] => {
    const six = Address6.fromBigInt(value)
    return [six.canonicalForm(), six.correctForm(), six.to4in6()]
  }
  const read = (one: Address) => forms(one).every((text) => parseAddress(text)?.value === one.value)
  holds(t, fc.property(ipv6, read))
})

const isSame = (one: Address, other: Address | undefined): boolean =>
  other !== undefined && one.family === other.family && one.value === other.value

test('parseAddress undoes formatAddress, addressFromBytes undoes addressBytes', async (t) => {
  holds(
    t,
    fc.property(address, (one) => isSame(one, parseAddress(formatAddress(one)))),
  )
  holds(
    t,
    fc.property(address, (one) => isSame(one, addressFromBytes(addressBytes(one)))),
  )
})

test('addressBytes is network order', async (t) => {
  t.equal(toHex(addressBytes({ family: 4, value: 0x0a010005n })), '0a010005')
  const six = parseAddress('2001:db8::a:5')
  t.equal(six && toHex(addressBytes(six)), '20010db80000000000000000000a0005')
  t.equal(addressBits(4), 32)
  t.equal(addressBits(6), 128)
})

for (const length of [0, 1, 3, 5, 6, 8, 15, 17])
  test(`addressFromBytes refuses ${length} bytes`, async (t) => {
    t.equal(addressFromBytes(new Uint8Array(length)), undefined)
  })

test('addressKey is the digit of the family and 32 hex digits', async (t) => {
  t.equal(addressKey({ family: 4, value: 0x0a010005n }), `4${'0'.repeat(24)}0a010005`)
  t.equal(addressKey({ family: 6, value: max6 }), `6${'f'.repeat(32)}`)
})

test('addressKey orders and compares as addresses do', async (t) => {
  const comesFirst = (one: Address, other: Address): boolean =>
    one.family === other.family ? one.value < other.value : one.family < other.family
  const ordered = fc.property(address, address, (one, other) => {
    const keys = [addressKey(one), addressKey(other)] as const
    return (
      keys[0] < keys[1] === comesFirst(one, other) &&
      (keys[0] === keys[1]) === sameAddress(one, other)
    )
  })
  holds(t, ordered, 1000)
})

test('sameAddress tells families apart', async (t) => {
  t.equal(sameAddress({ family: 4, value: 1n }, { family: 4, value: 1n }), true)
  t.equal(sameAddress({ family: 4, value: 1n }, { family: 4, value: 2n }), false)
  t.equal(sameAddress({ family: 4, value: 1n }, { family: 6, value: 1n }), false)
})

test('offsetAddress goes over octets, there and back', async (t) => {
  const end = parseAddress('10.0.255.255')
  t.equal(end && formatAddress(offsetAddress(end, 1n)), '10.1.0.0')
  t.equal(end && formatAddress(offsetAddress(end, -65536n)), '9.255.255.255')
  const by = fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n })
  const back = (one: Address, way: bigint) =>
    isSame(one, offsetAddress(offsetAddress(one, way), -way))
  holds(t, fc.property(address, by, back))
})
