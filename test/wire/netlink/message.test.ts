import fc from 'fast-check'
import { test } from 'tap'
import { concat, ShapeError } from '../../../src/base/bytes.ts'
import { attribute, text, u32 } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies, encodeMessage, type Message } from '../../../src/wire/netlink/message.ts'
import { holds } from '../../base/law.ts'
import { messagesOf, readGolden } from '../golden.ts'
import { bytes } from '../values.ts'

const hex = (of: Uint8Array): string => Buffer.from(of).toString('hex')
const message = (more: Partial<Message>): Message => ({
  type: 16,
  flags: 5,
  sequence: 7,
  body: new Uint8Array(),
  ...more,
})

// length, type, flags, sequence, port id
for (const row of [
  { why: 'no body', body: '', want: '10000000 1000 0500 07000000 00000000' },
  {
    why: 'a body of four bytes',
    body: 'aabbccdd',
    want: '14000000 1000 0500 07000000 00000000 aabbccdd',
  },
  {
    why: 'a body of five, padded behind the length',
    body: 'aabbccddee',
    want: '15000000 1000 0500 07000000 00000000 aabbccdd ee000000',
  },
])
  test(`encodeMessage: ${row.why}`, async (t) => {
    t.equal(hex(encodeMessage(message({ body: bytes(row.body) }))), row.want.replaceAll(' ', ''))
  })

const anyMessage = fc.record({
  // NLMSG_ERROR and NLMSG_DONE (2 and 3) are read as what they are, not as messages
  type: fc.integer({ min: 4, max: 0xffff }),
  flags: fc.nat(0xffff),
  sequence: fc.nat(0xffff_ffff),
  body: fc.uint8Array({ maxLength: 40 }),
})
const textOf = (one: Message): string => `${one.type} ${one.flags} ${one.sequence} ${hex(one.body)}`

test('decodeReplies undoes encodeMessage, for one and for several in a datagram', async (t) => {
  const law = fc.property(fc.array(anyMessage), (list) => {
    const replies = decodeReplies(concat(list.map(encodeMessage)))
    const found = replies.map((reply) => (reply.kind === 'message' ? textOf(reply.message) : '?'))
    return found.join() === list.map(textOf).join()
  })
  holds(t, law)
})

const verdict = (flags: number, ...parts: readonly Uint8Array[]): Uint8Array =>
  encodeMessage(message({ type: 2, flags, body: concat(parts) }))
/** struct nlmsgerr: errno, then the header of the request, `length` bytes long. */
const nlmsgerr = (errno: number, length = 20): Uint8Array => {
  const head = Buffer.alloc(20)
  head.writeInt32LE(-errno, 0)
  head.writeUInt32LE(length, 4)
  return head
}
const capped = 0x100
const withText = 0x200
const words = text(1, 'Nexthop has invalid gateway')
const offset = u32(2, 36)

for (const row of [
  {
    why: 'an acknowledgement',
    bytes: verdict(capped, nlmsgerr(0)),
    want: [0, undefined, undefined],
  },
  {
    why: 'an acknowledgement of a long request, whose body never comes back',
    bytes: verdict(0, nlmsgerr(0, 400)),
    want: [0, undefined, undefined],
  },
  {
    why: 'an acknowledgement with a warning',
    bytes: verdict(capped | withText, nlmsgerr(0), words),
    want: [0, 'Nexthop has invalid gateway', undefined],
  },
  {
    why: 'the same, not capped: only refusals carry the request',
    bytes: verdict(withText, nlmsgerr(0, 400), words),
    want: [0, 'Nexthop has invalid gateway', undefined],
  },
  {
    why: 'a refusal without words',
    bytes: verdict(capped, nlmsgerr(17)),
    want: [17, undefined, undefined],
  },
  {
    why: 'a refusal with words and place',
    bytes: verdict(capped | withText, nlmsgerr(101), words, offset),
    want: [101, 'Nexthop has invalid gateway', 36],
  },
  {
    why: 'a refusal with its request, then words',
    bytes: verdict(withText, nlmsgerr(101, 24), bytes('aabbccdd aabbccdd'), words),
    want: [101, 'Nexthop has invalid gateway', undefined],
  },
  {
    why: 'a request of 21 bytes, padded',
    bytes: verdict(withText, nlmsgerr(101, 21), bytes('aabbccdd ee000000'), words),
    want: [101, 'Nexthop has invalid gateway', undefined],
  },
  {
    why: 'a refusal with its request alone',
    bytes: verdict(0, nlmsgerr(1, 24), bytes('aabbccdd aabbccdd')),
    want: [1, undefined, undefined],
  },
  {
    why: 'no NLM_F_ACK_TLVS: what follows are no attributes',
    bytes: verdict(capped, nlmsgerr(22), bytes('ff')),
    want: [22, undefined, undefined],
  },
  {
    why: 'attributes that Tulle does not know (NLMSGERR_ATTR_COOKIE)',
    bytes: verdict(capped | withText, nlmsgerr(22), attribute(3, bytes('aabb')), offset),
    want: [22, undefined, 36],
  },
  {
    why: 'words without NUL',
    bytes: verdict(capped | withText, nlmsgerr(22), attribute(1, Buffer.from('no'))),
    want: [22, 'no', undefined],
  },
] as const)
  test(`decodeReplies: ${row.why}`, async (t) => {
    const [reply, ...rest] = decodeReplies(row.bytes)
    t.strictSame(rest, [])
    t.match(reply, { kind: 'verdict', sequence: 7 })
    if (reply?.kind !== 'verdict') return
    t.strictSame([reply.errno + 0, reply.text, reply.offset], row.want)
  })

test('golden reply-refusal: the request comes back, then the text', async (t) => {
  t.match(decodeReplies(readGolden('reply-refusal')), [
    { kind: 'verdict', errno: 101, text: 'Nexthop has invalid gateway', offset: undefined },
  ])
})

test('golden reply-acknowledgement: errno 0', async (t) => {
  const [reply] = decodeReplies(readGolden('reply-acknowledgement'))
  t.equal(reply?.kind === 'verdict' && reply.errno === 0, true)
})

for (const row of [
  { why: 'the end of a dump', body: '00000000', flags: 2, want: { errno: 0, flags: 2 } },
  {
    why: 'the end of a dump that was interrupted',
    body: '00000000',
    flags: 0x12,
    want: { errno: 0, flags: 0x12 },
  },
  { why: 'a dump that failed', body: 'f0ffffff', flags: 2, want: { errno: 16, flags: 2 } },
  {
    why: 'the end without an errno, as old kernels say it',
    body: '',
    flags: 2,
    want: { errno: 0, flags: 2 },
  },
])
  test(`decodeReplies: ${row.why}`, async (t) => {
    const datagram = encodeMessage(message({ type: 3, flags: row.flags, body: bytes(row.body) }))
    const [reply] = decodeReplies(datagram)
    t.equal(reply?.kind, 'done')
    if (reply?.kind !== 'done') return
    t.strictSame(
      [reply.sequence, reply.errno + 0, reply.flags],
      [7, row.want.errno, row.want.flags],
    )
  })

const header = '1000 0500 07000000 00000000'
for (const row of [
  { why: 'length 0, which would never get on', bytes: `00000000 ${header}` },
  { why: 'length 15: shorter than its own header', bytes: `0f000000 ${header}` },
  { why: 'one byte more than there is', bytes: `11000000 ${header}` },
  { why: 'the longest length', bytes: `ffffffff ${header}` },
  { why: 'half a header', bytes: '10000000 1000' },
  { why: 'a byte left over', bytes: `10000000 ${header} 00` },
  { why: 'fifteen bytes left over', bytes: `10000000 ${header} ${'00'.repeat(15)}` },
  { why: 'a verdict without errno', bytes: '13000000 0200 0000 07000000 00000000 000000' },
  { why: 'a verdict without its request', bytes: '14000000 0200 0000 07000000 00000000 00000000' },
  {
    why: 'a verdict with odd attributes',
    bytes: `28000000 0200 0003 07000000 00000000 ${'00'.repeat(20)} 03000100`,
  },
  {
    why: 'a place of two bytes',
    bytes: hex(verdict(capped | withText, nlmsgerr(22), attribute(2, bytes('2400')))),
  },
])
  test(`decodeReplies refuses ${row.why}`, async (t) => {
    t.throws(() => decodeReplies(bytes(row.bytes)), ShapeError)
  })

test('decodeReplies: an empty datagram has no replies', async (t) => {
  t.strictSame(decodeReplies(new Uint8Array()), [])
})

for (const name of [
  'reply-links',
  'reply-routes',
  'reply-refusal',
  'reply-elements',
  'reply-rules',
])
  test(`decodeReplies refuses every part of ${name} that ends inside a message`, async (t) => {
    const whole = readGolden(name)
    let end = 0
    const ends = messagesOf(whole).flatMap(({ body }) => {
      const padded = end + ((16 + body.length + 3) & ~3)
      const bare = end + 16 + body.length
      end = padded
      return Array.from({ length: padded - bare + 1 }, (_, at) => bare + at)
    })
    const taken = Array.from({ length: whole.length - 1 }, (_, at) => at + 1).filter((length) => {
      try {
        decodeReplies(whole.subarray(0, length))
        return true
      } catch (refusal) {
        if (refusal instanceof ShapeError) return false
        throw refusal
      }
    })
    t.strictSame(
      taken,
      ends.filter((length) => length < whole.length),
    )
  })

test('decodeReplies of any bytes is replies or a ShapeError', async (t) => {
  const header16 = fc.record({
    length: fc.nat(64),
    type: fc.constantFrom(2, 3, 16),
    flags: fc.nat(0x3ff),
  })
  const framed = fc.tuple(header16, fc.uint8Array({ maxLength: 48 })).map(([head, rest]) => {
    const start = Buffer.alloc(16)
    start.writeUInt32LE(head.length, 0)
    start.writeUInt16LE(head.type, 4)
    start.writeUInt16LE(head.flags, 6)
    return Buffer.concat([start, rest])
  })
  const law = fc.property(fc.oneof(framed, fc.uint8Array({ maxLength: 64 })), (any) => {
    try {
      return Array.isArray(decodeReplies(any))
    } catch (refusal) {
      return refusal instanceof ShapeError
    }
  })
  holds(t, law, 5000)
})
