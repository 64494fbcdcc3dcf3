// npm `netlink` as an independent reader of frames: what one takes apart, the other does, alike.
import fc from 'fast-check'
import {
  formatAttribute,
  formatMessage,
  parseAttributes,
  parseMessages,
} from 'netlink/dist/structs.js'
import { test } from 'tap'
import { ShapeError } from '../../../src/base/bytes.ts'
import { attribute, nested, readList } from '../../../src/wire/netlink/attribute.ts'
import { decodeReplies, encodeMessage } from '../../../src/wire/netlink/message.ts'
import { holds } from '../../base/law.ts'

const hex = (of: Uint8Array): string => Buffer.from(of).toString('hex')

function theirList(bytes: Uint8Array): string {
  const found: string[] = []
  try {
    parseAttributes(Buffer.from(bytes), ({ type, data }) => found.push(`${type}:${hex(data)}`))
    return found.join(' ')
  } catch {
    return 'refused'
  }
}

function ourList(bytes: Uint8Array): string {
  try {
    return readList(bytes)
      .map(({ type, payload }) => `${type}:${hex(payload)}`)
      .join(' ')
  } catch (refusal) {
    return refusal instanceof ShapeError ? 'refused' : String(refusal)
  }
}

/** Attributes whose lengths are near what is there, so that many are good and many just not. */
const nearlyAttributes = fc
  .array(
    fc.record({
      off: fc.integer({ min: -5, max: 5 }),
      type: fc.nat(0xffff),
      payload: fc.uint8Array({ maxLength: 6 }),
      odd: fc.nat(3),
    }),
    { maxLength: 4 },
  )
  .map((list) =>
    Buffer.concat(
      list.map(({ off, type, payload, odd }) => {
        const head = Buffer.alloc(4)
        head.writeUInt16LE(Math.max(0, 4 + payload.length + (odd === 0 ? off : 0)), 0)
        head.writeUInt16LE(type, 2)
        return Buffer.concat([head, payload, Buffer.alloc(-payload.length & 3)])
      }),
    ),
  )

for (const { name, bytes, numRuns } of [
  { name: 'nearly good attributes', bytes: nearlyAttributes, numRuns: 3000 },
  { name: 'any bytes', bytes: fc.uint8Array({ maxLength: 40 }), numRuns: 3000 },
])
  test(`readList and netlink take the same out of ${name}, and refuse the same`, async (t) => {
    holds(
      t,
      fc.property(bytes, (one: Uint8Array) => ourList(one) === theirList(one)),
      numRuns,
    )
  })

test('nearly good attributes are often good and often not', async (t) => {
  const sample = fc.sample(nearlyAttributes, 300).map(ourList)
  t.ok(sample.filter((one) => one === 'refused').length > 30)
  t.ok(sample.filter((one) => one !== 'refused' && one !== '').length > 30)
})

const payload = fc.uint8Array({ maxLength: 20 })

test('attribute and nested write what netlink writes', async (t) => {
  const law = fc.property(fc.nat(0x3fff), payload, fc.boolean(), (type, data, isNested) => {
    // netlink leaves the padding of the last one to its caller
    const theirs = Buffer.concat(formatAttribute({ type, data, nested: isNested }))
    const ours = isNested ? nested(type, [data]) : attribute(type, data)
    return (
      hex(ours.subarray(0, theirs.length)) === hex(theirs) &&
      ours.length === ((theirs.length + 3) & ~3)
    )
  })
  holds(t, law)
})

const message = fc.record({
  type: fc.integer({ min: 4, max: 0xffff }),
  flags: fc.nat(0xffff),
  sequence: fc.nat(0xffff_ffff),
  body: payload,
})

test('netlink reads what encodeMessage writes, several in a datagram', async (t) => {
  const law = fc.property(fc.array(message), (list) => {
    const found = parseMessages(Buffer.concat(list.map(encodeMessage)))
    const textOf = (type: number, flags: number, sequence: number, data: Uint8Array) =>
      `${type} ${flags} ${sequence} ${hex(data)}`
    return (
      found.map(({ type, flags, seq, data }) => textOf(type, flags, seq, data)).join() ===
      list.map(({ type, flags, sequence, body }) => textOf(type, flags, sequence, body)).join()
    )
  })
  holds(t, law)
})

test('decodeReplies reads what netlink writes', async (t) => {
  const law = fc.property(message, ({ type, flags, sequence, body }) => {
    const theirs = formatMessage({ type, flags, seq: sequence, port: 99, data: body })
    const [reply] = decodeReplies(Buffer.concat(theirs))
    return (
      reply?.kind === 'message' &&
      reply.message.type === type &&
      reply.message.flags === flags &&
      reply.message.sequence === sequence &&
      hex(reply.message.body) === hex(body)
    )
  })
  holds(t, law)
})
