import fc from 'fast-check'
import { test } from 'tap'
import {
  concat,
  decodeText,
  encodeText,
  Reader,
  ShapeError,
  sameBytes,
  toHex,
  Writer,
} from '../../src/base/bytes.ts'
import { unreachable } from '../../src/base/unreachable.ts'
import { holds } from './law.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

for (const row of [
  { why: 'one byte', write: (to: Writer) => to.u8(0xab), want: 'ab' },
  { why: 'u16 is little-endian', write: (to: Writer) => to.u16(0x0102), want: '0201' },
  { why: 'u16be is big-endian', write: (to: Writer) => to.u16be(0x0102), want: '0102' },
  { why: 'u32 is little-endian', write: (to: Writer) => to.u32(0x01020304), want: '04030201' },
  { why: 'u32be is big-endian', write: (to: Writer) => to.u32be(0x01020304), want: '01020304' },
  { why: 'the sign bit is a bit', write: (to: Writer) => to.u32(0xffff_fffe), want: 'feffffff' },
  {
    why: 'the sign bit, big-endian',
    write: (to: Writer) => to.u32be(0x8000_0000),
    want: '80000000',
  },
  { why: "below zero is two's complement", write: (to: Writer) => to.u32be(-5), want: 'fffffffb' },
  {
    why: 'bytes as they are',
    write: (to: Writer) => to.bytes(Uint8Array.of(1, 2, 3)),
    want: '010203',
  },
  { why: 'nothing', write: (to: Writer) => to, want: '' },
])
  test(`Writer: ${row.why}`, async (t) => {
    t.equal(hex(row.write(new Writer()).done()), row.want)
  })

test('Writer grows past its first 64 bytes, by little and by much', async (t) => {
  const parts = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 })
  const law = fc.property(parts, (runs) => {
    const writer = new Writer()
    for (const run of runs) writer.u8(0x55).bytes(run)
    return hex(writer.done()) === runs.map((run) => `55${hex(run)}`).join('')
  })
  holds(t, law)
})

test('Writer: what was given out does not change with what is written later', async (t) => {
  const writer = new Writer().u8(1)
  const first = writer.done()
  writer.u8(2)
  t.equal(hex(first), '01')
  t.equal(hex(writer.done()), '0102')
})

test('Reader reads what Buffer reads', async (t) => {
  const law = fc.property(fc.uint8Array({ minLength: 19, maxLength: 24 }), (bytes) => {
    const reader = new Reader(bytes)
    const other = Buffer.from(bytes)
    return (
      reader.u8() === other.readUInt8(0) &&
      reader.u16() === other.readUInt16LE(1) &&
      reader.u32() === other.readUInt32LE(3) &&
      reader.i32() === other.readInt32LE(7) &&
      reader.u32be() === other.readUInt32BE(11) &&
      hex(reader.bytes(4)) === hex(bytes.subarray(15, 19)) &&
      reader.left === bytes.length - 19 &&
      hex(reader.rest()) === hex(bytes.subarray(19)) &&
      reader.left === 0
    )
  })
  holds(t, law, 1000)
})

for (const { read, size } of [
  { read: 'u8', size: 1 },
  { read: 'u16', size: 2 },
  { read: 'u32', size: 4 },
  { read: 'i32', size: 4 },
  { read: 'u32be', size: 4 },
] as const)
  for (const length of Array.from({ length: size }, (_, at) => at))
    test(`Reader.${read} of ${length} bytes is refused`, async (t) => {
      t.throws(() => new Reader(new Uint8Array(length))[read](), ShapeError)
    })

for (const { length, why } of [
  { length: 5, why: 'one more than there is' },
  { length: 0xffff_ffff, why: 'the longest that a header can promise' },
  { length: -1, why: 'less than nothing: a length that was too small for its own header' },
])
  test(`Reader.bytes(${length}) of 4 is refused: ${why}`, async (t) => {
    const reader = new Reader(new Uint8Array(4))
    t.throws(() => reader.bytes(length), ShapeError)
    t.equal(reader.left, 4, 'and nothing is read')
  })

test('Reader stays inside a view of a larger buffer', async (t) => {
  const reader = new Reader(Uint8Array.of(9, 9, 1, 2, 9, 9).subarray(2, 4))
  t.equal(reader.u16(), 0x0201)
  t.throws(() => reader.u8(), { name: 'ShapeError', message: 'Cannot read byte 2 of 2' })
})

test('Reader names the place of a refusal', async (t) => {
  const reader = new Reader(Uint8Array.of(1, 2, 3))
  reader.u8()
  t.throws(() => reader.bytes(7), { message: 'Cannot read 7 bytes at 1 of 3' })
})

test('concat joins in order, and shares no memory', async (t) => {
  const law = fc.property(fc.array(fc.uint8Array()), (parts) =>
    Buffer.concat(parts).equals(concat(parts)),
  )
  holds(t, law)
  const one = Uint8Array.of(1)
  const joined = concat([one])
  one[0] = 2
  t.equal(joined[0], 1)
})

for (const row of [
  { why: 'no NUL', bytes: 'tulA', want: 'tulA' },
  { why: 'text ends at the first NUL', bytes: 'tulA\0\0\0', want: 'tulA' },
  { why: 'what stands behind a NUL is left', bytes: 'tul\0A', want: 'tul' },
  { why: 'nothing', bytes: '', want: '' },
  { why: 'nothing but NUL', bytes: '\0', want: '' },
  { why: 'UTF-8', bytes: 'pøđ𝟙\0', want: 'pøđ𝟙' },
])
  test(`decodeText: ${row.why}`, async (t) => {
    t.equal(decodeText(Buffer.from(row.bytes)), row.want)
  })

test('decodeText marks bytes that are no UTF-8, and does not throw', async (t) => {
  t.equal(decodeText(Uint8Array.of(0x61, 0xff, 0x62)), 'a\ufffdb')
})

test('decodeText undoes encodeText for text without NUL', async (t) => {
  const text = fc
    .string({ unit: 'binary' })
    .filter((one) => !one.includes('\0') && one.isWellFormed())
  const law = fc.property(text, (one) => decodeText(encodeText(one)) === one)
  holds(t, law)
})

test('toHex writes what Buffer writes', async (t) => {
  holds(
    t,
    fc.property(fc.uint8Array(), (bytes) => toHex(bytes) === hex(bytes)),
  )
})

test('sameBytes agrees with Buffer, and with itself turned round', async (t) => {
  const short = fc.uint8Array({ maxLength: 3, max: 1 })
  const law = fc.property(short, short, (left, right) => {
    const want = Buffer.from(left).equals(right)
    return sameBytes(left, right) === want && sameBytes(right, left) === want
  })
  holds(t, law, 1000)
})

test('unreachable shows the value that nobody handled', async (t) => {
  const strange: unknown = { kind: 'strange' }
  t.throws(() => unreachable(strange as never), {
    message: 'Cannot happen: unhandled {"kind":"strange"}',
  })
})
