import fc from 'fast-check'
import { test } from 'tap'
import { toHex } from '../../src/base/bytes.ts'
import { formatMac, localMac, macFromBytes, parseMac } from '../../src/base/mac.ts'
import { holds } from './law.ts'

for (const row of [
  { why: 'colons', text: '0a:58:0a:01:00:05', want: '0a580a010005' },
  { why: 'hyphens, as IEEE writes them', text: '0A-58-0A-01-00-05', want: '0a580a010005' },
  { why: 'upper case', text: '02:AB:CD:EF:00:01', want: '02abcdef0001' },
  { why: 'globally unique is unicast too', text: '00:00:5e:00:53:01', want: '00005e005301' },
])
  test(`parseMac reads ${row.text}: ${row.why}`, async (t) => {
    const mac = parseMac(row.text)
    t.equal(mac && toHex(mac), row.want)
  })

for (const row of [
  { why: 'nothing', text: '' },
  { why: 'all zeros: the kernel takes it for "none given"', text: '00:00:00:00:00:00' },
  { why: 'multicast: no link may have it', text: '01:00:5e:00:00:01' },
  { why: 'broadcast', text: 'ff:ff:ff:ff:ff:ff' },
  { why: 'the group bit alone', text: '03:00:00:00:00:00' },
  { why: 'five bytes', text: '0a:58:0a:01:00' },
  { why: 'seven bytes', text: '0a:58:0a:01:00:05:06' },
  { why: 'one digit', text: 'a:58:0a:01:00:05' },
  { why: 'three digits', text: '00a:58:0a:01:00:05' },
  { why: 'a letter that is no digit', text: '0g:58:0a:01:00:05' },
  { why: 'no separators', text: '0a580a010005' },
  { why: 'dots, as Cisco writes them', text: '0a58.0a01.0005' },
  { why: 'a separator behind', text: '0a:58:0a:01:00:05:' },
  { why: 'a blank in front', text: ' 0a:58:0a:01:00:05' },
  { why: 'a newline behind', text: '0a:58:0a:01:00:05\n' },
  { why: 'InfiniBand, twenty bytes', text: Array(20).fill('0a').join(':') },
])
  test(`parseMac refuses ${JSON.stringify(row.text)}: ${row.why}`, async (t) => {
    t.equal(parseMac(row.text), undefined)
  })

const six = fc.uint8Array({ minLength: 6, maxLength: 6 })

test('parseMac undoes formatMac for every unicast address, and refuses the rest', async (t) => {
  const law = fc.property(six, (bytes) => {
    const unicast = (bytes[0]! & 1) === 0 && bytes.some((byte) => byte !== 0)
    const parsed = parseMac(formatMac(bytes))
    return unicast ? parsed !== undefined && toHex(parsed) === toHex(bytes) : parsed === undefined
  })
  holds(t, law)
})

test('formatMac writes what the kernel prints', async (t) => {
  t.equal(formatMac(Uint8Array.of(0x0a, 0x58, 0, 0xff, 1, 0x10)), '0a:58:00:ff:01:10')
})

for (const length of [0, 4, 5, 7, 8, 20])
  test(`macFromBytes refuses ${length} bytes`, async (t) => {
    t.equal(macFromBytes(new Uint8Array(length)), undefined)
  })

test('macFromBytes takes what a link reports, zeros and multicast too', async (t) => {
  const kept = fc.property(
    six,
    (bytes) => toHex(macFromBytes(bytes) ?? new Uint8Array()) === toHex(bytes),
  )
  holds(t, kept)
})

test('localMac is unicast, locally administered, and keeps the other 46 bits', async (t) => {
  const hash = fc.uint8Array({ minLength: 6, maxLength: 32 })
  const law = fc.property(hash, (bytes) => {
    const mac = localMac(bytes)
    const kept = mac.every((byte, at) =>
      at === 0 ? byte >> 2 === bytes[0]! >> 2 : byte === bytes[at],
    )
    return mac.length === 6 && kept && (mac[0]! & 3) === 2 && parseMac(formatMac(mac)) !== undefined
  })
  holds(t, law)
})

test('localMac leaves the hash as it was', async (t) => {
  const hash = Uint8Array.of(0xff, 1, 2, 3, 4, 5)
  localMac(hash)
  t.equal(toHex(hash), 'ff0102030405')
})
