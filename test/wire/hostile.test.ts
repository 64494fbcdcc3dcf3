import fc from 'fast-check'
import { test } from 'tap'
import { ShapeError } from '../../src/base/bytes.ts'
import { decodeGeneration } from '../../src/wire/nft/message.ts'
import { decodeElements } from '../../src/wire/nft/set.ts'
import { decodeRule } from '../../src/wire/nft/table.ts'
import { decodeAddress } from '../../src/wire/rtnl/address.ts'
import { decodeForwarding } from '../../src/wire/rtnl/forwarding.ts'
import { decodeNeighbour } from '../../src/wire/rtnl/neighbour.ts'
import { decodeLink } from '../../src/wire/rtnl/observed-link.ts'
import { decodeRoute } from '../../src/wire/rtnl/route.ts'
import { holds } from '../base/law.ts'
import { goldenMessages } from './golden.ts'

// Bodies of messages as the kernel sent them, cut short and spoilt: every decoder answers a value
// or a ShapeError, reads nothing beside its bytes, and comes to an end.

const subsystem = 10 << 8
const decoders = [
  { golden: 'reply-links', type: 16, head: 16, decode: decodeLink },
  { golden: 'reply-addresses', type: 20, head: 8, decode: decodeAddress },
  { golden: 'reply-routes', type: 24, head: 12, decode: decodeRoute },
  { golden: 'reply-neighbours', type: 28, head: 12, decode: decodeNeighbour },
  { golden: 'reply-vxlan', type: 16, head: 16, decode: decodeLink },
  { golden: 'reply-forwarding', type: 28, head: 12, decode: decodeForwarding },
  { golden: 'reply-route-source', type: 24, head: 12, decode: decodeRoute },
  { golden: 'reply-elements', type: subsystem | 12, head: 4, decode: decodeElements },
  { golden: 'reply-rules', type: subsystem | 6, head: 4, decode: decodeRule },
  {
    golden: 'reply-generation',
    type: subsystem | 15,
    head: 4,
    decode: (body: Uint8Array) => decodeGeneration({ type: subsystem | 15, flags: 0, body }),
  },
] as const

const bodiesOf = ({ golden, type }: (typeof decoders)[number]): readonly Buffer[] =>
  goldenMessages(golden).flatMap((one) => (one.type === type ? [one.body] : []))

/** Lengths at which a body that is cut is whole: behind its header, behind each attribute. */
function wholeLengths(body: Buffer, head: number): readonly number[] {
  const lengths = [head]
  for (let at = head; at + 4 <= body.length; ) {
    const end = at + body.readUInt16LE(at)
    at = (end + 3) & ~3
    // the padding of the last attribute may be missing
    for (let length = end; length <= at; length++) lengths.push(length)
  }
  return lengths
}

/** What a decoder does with these bytes, between others that it must not see. */
function outcome(decode: (body: Uint8Array) => unknown, body: Uint8Array): 'value' | 'refused' {
  const framed = Buffer.concat([Buffer.alloc(64, 0xee), body, Buffer.alloc(64, 0xee)])
  try {
    decode(framed.subarray(64, 64 + body.length))
    return 'value'
  } catch (refusal) {
    if (refusal instanceof ShapeError) return 'refused'
    throw refusal
  }
}

for (const decoder of decoders)
  test(`${decoder.golden}: a message that is cut is refused, wherever it is cut`, async (t) => {
    const bodies = bodiesOf(decoder)
    t.ok(bodies.length > 0)
    for (const body of bodies) {
      const whole = wholeLengths(body, decoder.head)
      const lengths = Array.from({ length: body.length }, (_, length) => length)
      const taken = lengths.filter(
        (length) => outcome(decoder.decode, body.subarray(0, length)) === 'value',
      )
      t.strictSame(
        taken,
        [...new Set(whole)].filter((length) => length < body.length),
      )
    }
  })

for (const decoder of decoders)
  test(`${decoder.golden}: an attribute of length 0 … 3 is refused`, async (t) => {
    for (const body of bodiesOf(decoder))
      for (let at = decoder.head; at + 4 <= body.length; at += (body.readUInt16LE(at) + 3) & ~3) {
        const taken = [0, 1, 2, 3].filter((length) => {
          const spoilt = Buffer.from(body)
          spoilt.writeUInt16LE(length, at)
          return outcome(decoder.decode, spoilt) === 'value'
        })
        t.strictSame(taken, [])
      }
  })

for (const decoder of decoders)
  test(`${decoder.golden}: an attribute longer than what is left is refused`, async (t) => {
    for (const body of bodiesOf(decoder))
      for (let at = decoder.head; at + 4 <= body.length; at += (body.readUInt16LE(at) + 3) & ~3) {
        const taken = [body.length - at + 1, 0x7fff, 0xffff].filter((length) => {
          const spoilt = Buffer.from(body)
          spoilt.writeUInt16LE(length, at)
          return outcome(decoder.decode, spoilt) === 'value'
        })
        t.strictSame(taken, [])
      }
  })

for (const decoder of decoders)
  test(`${decoder.golden}: attributes that come twice are no fault`, async (t) => {
    for (const body of bodiesOf(decoder)) {
      const twice = Buffer.concat([padded(body), body.subarray(decoder.head)])
      t.strictSame(decoder.decode(twice), decoder.decode(body))
    }
  })

const padded = (body: Buffer): Buffer =>
  Buffer.concat([body, Buffer.alloc(((body.length + 3) & ~3) - body.length)])

for (const decoder of decoders)
  test(`${decoder.golden}: bytes turned to others are a value or a ShapeError`, async (t) => {
    const bodies = bodiesOf(decoder)
    const change = fc.record({ at: fc.nat(4000), byte: fc.nat(255) })
    const law = fc.property(
      fc.constantFrom(...bodies),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      (body, changes) => {
        const spoilt = Buffer.from(body)
        for (const { at, byte } of changes) spoilt[at % spoilt.length] = byte
        outcome(decoder.decode, spoilt)
      },
    )
    holds(t, law, 1000)
  })

for (const decoder of decoders)
  test(`${decoder.golden}: any bytes are a value or a ShapeError`, async (t) => {
    const law = fc.property(fc.uint8Array({ maxLength: 80 }), (any) => {
      outcome(decoder.decode, any)
    })
    holds(t, law, 1000)
  })

test('the longest message of the smallest attributes is read in one pass', async (t) => {
  const head = Buffer.alloc(16)
  const smallest = Buffer.from('04000100', 'hex')
  const body = Buffer.concat([head, ...Array<Buffer>(16_000).fill(smallest)])
  const started = process.cpuUsage()
  decodeLink(body)
  const { user } = process.cpuUsage(started)
  // a pass takes some milliseconds; work that grows with the square would take minutes
  t.ok(user < 5_000_000, `${user} µs`)
})
