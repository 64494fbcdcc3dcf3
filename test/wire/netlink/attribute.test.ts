import fc from 'fast-check'
import { test } from 'tap'
import { concat, ShapeError } from '../../../src/base/bytes.ts'
import {
  attribute,
  flag,
  nested,
  readAttributes,
  readList,
  readU8,
  readU32,
  readU32be,
  text,
  u8,
  u16,
  u32,
  u32be,
} from '../../../src/wire/netlink/attribute.ts'
import { holds } from '../../base/law.ts'
import { bytes } from '../values.ts'

const hex = (of: Uint8Array): string => Buffer.from(of).toString('hex')

for (const row of [
  { why: 'no payload', made: attribute(1, bytes('')), want: '04000100' },
  { why: 'one byte, three of padding', made: attribute(2, bytes('aa')), want: '05000200 aa000000' },
  {
    why: 'two bytes, two of padding',
    made: attribute(2, bytes('aabb')),
    want: '06000200 aabb0000',
  },
  {
    why: 'three bytes, one of padding',
    made: attribute(2, bytes('aabbcc')),
    want: '07000200 aabbcc00',
  },
  {
    why: 'four bytes, no padding',
    made: attribute(2, bytes('aabbccdd')),
    want: '08000200 aabbccdd',
  },
  { why: 'a flag', made: flag(5), want: '04000500' },
  { why: 'u8', made: u8(5, 0xff), want: '05000500 ff000000' },
  { why: 'u16 in host order', made: u16(5, 0x0102), want: '06000500 02010000' },
  { why: 'u32 in host order', made: u32(5, 0x01020304), want: '08000500 04030201' },
  { why: 'u32be in network order', made: u32be(5, 0x01020304), want: '08000500 01020304' },
  { why: 'u32be below zero (a verdict)', made: u32be(1, -5), want: '08000100 fffffffb' },
  { why: 'text with its NUL', made: text(3, 'lo'), want: '07000300 6c6f0000' },
  { why: 'empty text is a NUL', made: text(3, ''), want: '05000300 00000000' },
  {
    why: 'nested, with NLA_F_NESTED',
    made: nested(18, [u8(1, 7)]),
    want: '0c001280 05000100 07000000',
  },
  { why: 'nested without children', made: nested(18, []), want: '04001280' },
])
  test(`attribute: ${row.why}`, async (t) => {
    t.equal(hex(row.made), row.want.replaceAll(' ', ''))
  })

test('readList undoes attribute: numbers, payloads, order, repeats', async (t) => {
  const one = fc.record({ type: fc.nat(0x3fff), payload: fc.uint8Array({ maxLength: 40 }) })
  const law = fc.property(fc.array(one), (list) => {
    const found = readList(concat(list.map(({ type, payload }) => attribute(type, payload))))
    const textOf = (of: typeof found) => of.map(({ type, payload }) => `${type} ${hex(payload)}`)
    return textOf(found).join() === textOf(list).join()
  })
  holds(t, law)
})

test('the longest payload that nla_len can say', async (t) => {
  const longest = attribute(1, new Uint8Array(0xffff - 4))
  t.equal(hex(longest.subarray(0, 4)), 'ffff0100')
  t.equal(readList(longest)[0]?.payload.length, 0xffff - 4)
})

for (const row of [
  { why: 'NLA_F_NESTED is no part of the number', bytes: '08001280 04000100', want: '18:04000100' },
  { why: 'NLA_F_NET_BYTEORDER neither', bytes: '08000540 00000001', want: '5:00000001' },
  { why: 'the last may lack its padding', bytes: '05000100 aa', want: '1:aa' },
  { why: 'or have a part of it', bytes: '05000100 aa0000', want: '1:aa' },
  { why: 'padding is not looked at', bytes: '05000100 aabbccdd 04000200', want: '1:aa 2:' },
  { why: 'nothing is a list of none', bytes: '', want: '' },
])
  test(`readList: ${row.why}`, async (t) => {
    const found = readList(bytes(row.bytes))
    t.equal(found.map(({ type, payload }) => `${type}:${hex(payload)}`).join(' '), row.want)
  })

for (const row of [
  { why: 'length 0, which would never get on', bytes: '00000100' },
  { why: 'length 0 behind a good one', bytes: '04000200 00000100 ffffffff' },
  { why: 'length 1', bytes: '01000100 00000000' },
  { why: 'length 2', bytes: '02000100 00000000' },
  { why: 'length 3: shorter than its own header', bytes: '03000100 00000000' },
  { why: 'one byte more than there is', bytes: '09000100 00000000' },
  { why: 'the longest length', bytes: 'ffff0100 00000000' },
  { why: 'a header of one byte', bytes: '08' },
  { why: 'a header of three bytes', bytes: '080001' },
  { why: 'a byte left over', bytes: '04000100 00' },
  { why: 'three bytes left over', bytes: '08000100 aabbccdd 000000' },
])
  test(`readList refuses ${row.why}`, async (t) => {
    t.throws(() => readList(bytes(row.bytes)), ShapeError)
    t.throws(() => readAttributes(bytes(row.bytes)), ShapeError)
  })

test('readAttributes keeps the last of a number that comes twice', async (t) => {
  const found = readAttributes(concat([u8(1, 1), u8(2, 2), u8(1, 3)]))
  t.strictSame(
    [...found].map(([type, payload]) => [type, hex(payload)]),
    [
      [1, '03'],
      [2, '02'],
    ],
  )
})

test('readList of any bytes is a list or a ShapeError, and stays inside', async (t) => {
  const law = fc.property(fc.uint8Array({ maxLength: 64 }), (any) => {
    const framed = Buffer.concat([Buffer.alloc(8, 0xff), any, Buffer.alloc(8, 0xff)])
    try {
      const found = readList(framed.subarray(8, 8 + any.length))
      const taken = found.reduce((sum, { payload }) => sum + 4 + payload.length, 0)
      return taken <= any.length
    } catch (refusal) {
      return refusal instanceof ShapeError
    }
  })
  holds(t, law, 5000)
})

for (const row of [
  { why: 'readU8', read: readU8, good: 'ab', want: 0xab, short: '' },
  { why: 'readU32', read: readU32, good: '04030201', want: 0x01020304, short: '040302' },
  {
    why: 'readU32 with the sign bit',
    read: readU32,
    good: 'ffffffff',
    want: 0xffff_ffff,
    short: 'ff',
  },
  { why: 'readU32be', read: readU32be, good: '01020304', want: 0x01020304, short: '010203' },
  {
    why: 'readU32be with the sign bit',
    read: readU32be,
    good: '80000000',
    want: 0x8000_0000,
    short: '',
  },
]) {
  test(`${row.why} reads ${row.good}`, async (t) => {
    t.equal(row.read(bytes(row.good)), row.want)
  })
  test(`${row.why} refuses "${row.short}"`, async (t) => {
    t.throws(() => row.read(bytes(row.short)), ShapeError)
  })
}
