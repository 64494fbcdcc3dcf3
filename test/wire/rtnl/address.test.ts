import fc from 'fast-check'
import { test } from 'tap'
import { type Address, addressBytes } from '../../../src/base/address.ts'
import { formatPrefix } from '../../../src/base/prefix.ts'
import { attribute, u32 } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies } from '../../../src/wire/netlink/message.ts'
import {
  decodeAddress,
  deleteAddress,
  dumpAddresses,
  type LinkAddress,
  newAddress,
} from '../../../src/wire/rtnl/address.ts'
import { holds } from '../../base/law.ts'
import { addressShape, agrees, type GoldenRow, linesOf, readGolden, titleOf } from '../golden.ts'
import { bytes, link, prefix } from '../values.ts'

const br0 = link(4)
const order = 'iproute2 puts IFA_FLAGS between IFA_LOCAL and IFA_ADDRESS'
const noFlags = 'iproute2 leaves IFA_FLAGS out where no flag is set'

const rows: readonly Omit<GoldenRow, 'shape'>[] = [
  {
    golden: 'address-add-v4',
    ours: newAddress({ link: br0, prefix: prefix('10.1.0.1/32'), noPrefixRoute: true }),
    but: { why: order },
  },
  {
    golden: 'address-add-v4-subnet',
    ours: newAddress({ link: br0, prefix: prefix('10.1.0.1/24'), noPrefixRoute: false }),
    but: { why: noFlags, ours: ['8 = 00000000'] },
  },
  {
    golden: 'address-add-v6',
    ours: newAddress({ link: br0, prefix: prefix('2001:db8::1/64'), noPrefixRoute: true }),
    but: { why: order },
  },
  {
    golden: 'address-delete',
    ours: deleteAddress({ link: br0, prefix: prefix('10.1.0.1/24'), noPrefixRoute: false }),
    but: { why: noFlags, ours: ['8 = 00000000'] },
  },
  { golden: 'address-dump', ours: dumpAddresses(br0) },
]
for (const row of rows)
  test(titleOf(row), async (t) => {
    agrees(t, { ...row, shape: addressShape })
  })

// IFA_F_NODAD 0x02, IFA_F_NOPREFIXROUTE 0x200
for (const row of [
  { why: 'IPv4 with a route of its own', prefix: '10.1.0.1/24', noPrefixRoute: false, want: 0 },
  { why: 'IPv4 without', prefix: '10.1.0.1/24', noPrefixRoute: true, want: 0x200 },
  { why: 'IPv6 skips DAD', prefix: 'fd00::1/64', noPrefixRoute: false, want: 0x02 },
  {
    why: 'IPv6 skips DAD, without a route',
    prefix: 'fd00::1/64',
    noPrefixRoute: true,
    want: 0x202,
  },
])
  test(`newAddress flags: ${row.why}`, async (t) => {
    const { type, flags, body } = newAddress({ ...row, link: br0, prefix: prefix(row.prefix) })
    const lines = linesOf({ type, flags, body: Buffer.from(body) }, addressShape)
    const want = Buffer.alloc(4)
    want.writeUInt32LE(row.want)
    t.equal(lines.at(-1), `8 = ${want.toString('hex')}`)
  })

test('decodeAddress reads what the kernel says of a link', async (t) => {
  const found = decodeReplies(readGolden('reply-addresses')).flatMap((reply) =>
    reply.kind === 'message' ? [decodeAddress(reply.message.body)] : [],
  )
  t.strictSame(
    found.map((one) => one && `${one.link} ${formatPrefix(one.prefix)}`),
    ['4 192.0.2.1/24', '4 2001:db8::1/64'],
  )
})

const head4 = bytes('02188000 04000000')
const head6 = bytes('0a408000 04000000')
const local = (hex: string): Uint8Array => attribute(2, bytes(hex))
const peer = (hex: string): Uint8Array => attribute(1, bytes(hex))
const six = '20010db8 00000000 00000000 00000001'

for (const row of [
  {
    why: 'point to point: IFA_LOCAL is ours, IFA_ADDRESS the other end',
    parts: [head4, peer('0a010002'), local('0a010001')],
    want: '10.1.0.1/24',
  },
  {
    why: 'IFA_ADDRESS alone, as the kernel says IPv6',
    parts: [head6, peer(six)],
    want: '2001:db8::1/64',
  },
  {
    why: 'the last of two',
    parts: [head4, local('0a010001'), local('0a010003')],
    want: '10.1.0.3/24',
  },
  {
    why: 'what Tulle has no use for is passed over',
    parts: [head4, u32(8, 0x80), u32(999, 1), local('0a010001')],
    want: '10.1.0.1/24',
  },
  { why: 'no address', parts: [head4], want: undefined },
  { why: 'an address of no bytes', parts: [head4, local('')], want: undefined },
  { why: 'an address of five bytes', parts: [head4, local('0a01000100')], want: undefined },
  {
    why: 'AF_MCTP has addresses of a byte',
    parts: [bytes('2d000000 04000000'), local('08')],
    want: undefined,
  },
])
  test(`decodeAddress: ${row.why}`, async (t) => {
    const found = decodeAddress(Buffer.concat(row.parts))
    t.equal(found && formatPrefix(found.prefix), row.want)
  })

const anyAddress: fc.Arbitrary<LinkAddress> = fc
  .constantFrom(4 as const, 6 as const)
  .chain((family) =>
    fc.record({
      link: fc.integer({ min: 1, max: 0x7fff_ffff }).map(link),
      prefix: fc.record({
        address: fc
          .bigInt({ min: 0n, max: 2n ** (family === 4 ? 32n : 128n) - 1n })
          .map((value): Address => ({ family, value })),
        bits: fc.nat(family === 4 ? 32 : 128),
      }),
      noPrefixRoute: fc.boolean(),
    }),
  )

test('decodeAddress undoes newAddress and deleteAddress', async (t) => {
  for (const make of [newAddress, deleteAddress]) {
    const law = fc.property(anyAddress, (one) => {
      const back = decodeAddress(make(one).body)
      return (
        back?.link === one.link &&
        formatPrefix(back.prefix) === formatPrefix(one.prefix) &&
        back.prefix.address.family === one.prefix.address.family
      )
    })
    holds(t, law)
  }
})

test('newAddress says the address twice: IFA_LOCAL and IFA_ADDRESS', async (t) => {
  const law = fc.property(anyAddress, (one) => {
    const { type, flags, body } = newAddress(one)
    const lines = linesOf({ type, flags, body: Buffer.from(body) }, addressShape)
    const hex = Buffer.from(addressBytes(one.prefix.address)).toString('hex')
    return lines.includes(`2 = ${hex}`) && lines.includes(`1 = ${hex}`)
  })
  holds(t, law)
})
