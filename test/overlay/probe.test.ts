import { inspect as show } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { toHex } from '../../src/base/bytes.ts'
import {
  type Datagram,
  decodeProbe,
  encodeProbe,
  nextSearch,
  packetBytes,
  parseChecksumErrors,
  paths,
  payloadBytes,
} from '../../src/overlay/probe.ts'
import { holds } from '../base/law.ts'

const datagram: Datagram = {
  kind: 'request',
  from: 'node-a',
  to: 'node-b',
  sequence: 0xdeadbeef,
  size: 'full',
  answerBy: 'pods-4',
  heard: new Set(['node-4 small', 'pods-6 full']),
  checksumErrors: 258,
}

t.test('a datagram in bytes, as every version 1 writes them', async (t) => {
  const golden = [
    '74756c70 01 01 01 02', // tulp, version 1, request, full, answer by pods-4
    '0024 81 00', // 36 bytes; heard node-4 small, pods-6 full
    'deadbeef 00000102', // sequence, checksum errors
    '06 6e6f64652d61 06 6e6f64652d62', // names
    '0000', // filled up
  ]
  t.equal(toHex(encodeProbe(datagram, 36)), golden.join('').replaceAll(' ', ''))
})

const inspect = (value: unknown): string => show(value, { sorted: true, maxStringLength: null })
/** In the order that bits are read in. */
const sorted = (heard: Datagram['heard']): Datagram['heard'] =>
  new Set(
    paths.flatMap((path) =>
      (['small', 'full'] as const)
        .map((size) => `${path} ${size}` as const)
        .filter((one) => heard.has(one)),
    ),
  )

const name = fc.stringMatching(/^[a-z0-9]([-a-z0-9.]{0,40}[a-z0-9])?$/)
const any = fc.record({
  kind: fc.constantFrom('request' as const, 'answer' as const),
  from: name,
  to: name,
  sequence: fc.nat({ max: 2 ** 32 - 1 }),
  size: fc.constantFrom('small' as const, 'full' as const, 'search' as const),
  answerBy: fc.constantFrom(...paths),
  heard: fc
    .uniqueArray(fc.tuple(fc.constantFrom(...paths), fc.constantFrom('small', 'full')))
    .map((list) => new Set(list.map((words) => words.join(' ')))) as fc.Arbitrary<
    Datagram['heard']
  >,
  checksumErrors: fc.nat({ max: 2 ** 32 - 1 }),
})

t.test('what is written is read, at the length that was asked for', async (t) => {
  const property = fc.property(any, fc.integer({ min: 110, max: 9000 }), (one, length) => {
    const bytes = encodeProbe(one, length)
    const read = decodeProbe(bytes)
    if (bytes.length !== length) throw new Error(`${bytes.length} bytes`)
    if (inspect(read) !== inspect({ ...one, heard: sorted(one.heard) }))
      throw new Error(inspect(read))
  })
  holds(t, property, 300)
})

t.test('what was cut or changed by somebody is none, and never an exception', async (t) => {
  const whole = encodeProbe(datagram, 100)
  for (let length = 0; length < whole.length; length++)
    t.equal(decodeProbe(whole.subarray(0, length)), undefined, `cut to ${length}`)
  const changed = (at: number, byte: number): Uint8Array => whole.with(at, byte)
  for (const [at, byte] of [
    [0, 0x54],
    [4, 2],
    [5, 0],
    [5, 3],
    [6, 3],
    [7, 4],
    [20, 0],
    [20, 254],
    [27, 99],
  ] as const)
    t.equal(decodeProbe(changed(at, byte)), undefined, `byte ${at} is ${byte}`)
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    decodeProbe(bytes)
    decodeProbe(Uint8Array.from([...whole.subarray(0, 20), ...bytes]))
  })
  holds(t, property, 500)
})

t.test('no datagram is longer than UDP can carry', async (t) =>
  t.equal(encodeProbe(datagram, 1_000_000).length, 65_507),
)

t.test('packets and payloads', async (t) => {
  t.equal(payloadBytes(1500, 4), 1472)
  t.equal(payloadBytes(1500, 6), 1452)
  t.equal(packetBytes(payloadBytes(1450, 4), 4), 1450)
})

t.test('the search ends at the largest that passes, in few steps', async (t) => {
  const range = fc.tuple(fc.integer({ min: 60, max: 9000 }), fc.nat({ max: 9000 }))
  const property = fc.property(range, fc.nat(), ([least, more], by) => {
    const limit = least + (more === 0 ? 0 : by % (more + 1))
    let bounds = { passes: least, fails: least + more + 1 }
    let steps = 0
    for (let at = nextSearch(bounds); at !== undefined; at = nextSearch(bounds)) {
      bounds = at <= limit ? { ...bounds, passes: at } : { ...bounds, fails: at }
      if (++steps > 14) throw new Error('does not end')
    }
    if (bounds.passes !== limit) throw new Error(`${bounds.passes}, not ${limit}`)
  })
  holds(t, property, 500)
})

for (const { why, text, want } of [
  {
    why: 'as Linux 6 writes it',
    text:
      'Tcp: RtoAlgorithm InCsumErrors\nTcp: 1 9\n' +
      'Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors\n' +
      'Udp: 1 2 3 4 5 6 7\nUdpLite: InDatagrams InCsumErrors\nUdpLite: 0 8\n',
    want: 7,
  },
  { why: 'a kernel that does not count them', text: 'Udp: InDatagrams\nUdp: 1\n', want: 0 },
  { why: 'an empty file', text: '', want: 0 },
])
  t.test(`checksum errors: ${why}`, async (t) => t.equal(parseChecksumErrors(text), want))
