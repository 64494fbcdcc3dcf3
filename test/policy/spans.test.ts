import fc from 'fast-check'
import { test } from 'tap'
import { contains, parsePrefix } from '../../src/base/prefix.ts'
import { spansAt, sweep } from '../../src/policy/blocks.ts'
import { everything, type Span, type Spans } from '../../src/policy/program.ts'
import {
  canonical,
  covers,
  difference,
  everySpan,
  includes,
  intersection,
  isEverything,
  spanOf,
  spansKey,
  union,
} from '../../src/policy/spans.ts'
import { holds } from '../base/law.ts'

// The algebras of ports and of addresses, held against the points of small planes.

const side = 8
const numbers = Array.from({ length: side }, (_, at) => at)
const points = numbers.flatMap((protocol) => numbers.map((port) => ({ protocol, port })))
const place = fc.integer({ min: 0, max: side - 1 })
const span = fc.tuple(place, place, place, place).map(
  ([one, two, three, four]): Span => ({
    firstProtocol: Math.min(one, two),
    lastProtocol: Math.max(one, two),
    firstPort: Math.min(three, four),
    lastPort: Math.max(three, four),
  }),
)
const spans = fc.array(span, { maxLength: 5 })

const has = (all: Spans) => points.map(({ protocol, port }) => includes(all, protocol, port))
const agree = (made: Spans, wanted: (at: number) => boolean): boolean =>
  has(made).every((isIn, at) => isIn === wanted(at))

test('law: union, intersection and difference are those of the points', async (t) =>
  holds(
    t,
    fc.property(spans, spans, (left, right) => {
      const [ofLeft, ofRight] = [has(left), has(right)]
      return (
        agree(union(left, right), (at) => ofLeft[at] === true || ofRight[at] === true) &&
        agree(intersection(left, right), (at) => ofLeft[at] === true && ofRight[at] === true) &&
        agree(difference(left, right), (at) => ofLeft[at] === true && ofRight[at] === false)
      )
    }),
    1000,
  ))

test('law: equal points have one canonical form, disjoint and in order', async (t) =>
  holds(
    t,
    fc.property(spans, spans, (one, other) => {
      const made = canonical(one)
      const again = canonical([...one, ...one].reverse())
      const isSameSet = has(one).join() === has(other).join()
      const cells = made.reduce(
        (sum, { firstProtocol, lastProtocol, firstPort, lastPort }) =>
          sum + (lastProtocol - firstProtocol + 1) * (lastPort - firstPort + 1),
        0,
      )
      return (
        spansKey(made) === spansKey(again) &&
        isSameSet === (spansKey(made) === spansKey(canonical(other))) &&
        cells === has(one).filter(Boolean).length
      )
    }),
    1000,
  ))

test('law: one covers another where nothing of that is left', async (t) =>
  holds(
    t,
    fc.property(spans, spans, (outer, inner) => {
      const [ofOuter, ofInner] = [has(outer), has(inner)]
      return covers(outer, inner) === ofInner.every((isIn, at) => !isIn || ofOuter[at] === true)
    }),
    1000,
  ))

test('everything stands alone', (t) => {
  const some = [spanOf('TCP', 80), spanOf('UDP', 0, 65_535)]
  t.same(union(some, everySpan), everySpan)
  t.same(canonical([...some, everything]), everySpan)
  t.ok(isEverything(union(difference(everySpan, some), some)))
  t.same(intersection(everySpan, some), some)
  t.same(
    canonical([spanOf('TCP', 443), spanOf('TCP', 80), spanOf('TCP', 81, 90)]),
    [spanOf('TCP', 80, 90), spanOf('TCP', 443)],
    'neighbours are one',
  )
  t.end()
})

const prefixes = fc
  .tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 28, max: 32 }), fc.boolean())
  .map(([host, bits, isV6]) => {
    const text = isV6 ? `fd00::${host.toString(16)}/${bits + 96}` : `10.0.0.${host}/${bits}`
    const prefix = parsePrefix(text)
    if (!prefix) throw new Error(`Cannot read ${text}`)
    return prefix
  })
const block = fc.record({
  cidr: prefixes,
  except: fc.array(prefixes, { maxLength: 3 }),
  spans: fc.constantFrom([spanOf('TCP', 80)], [spanOf('UDP', 53)], [], everySpan),
})
const addresses = numbers.concat(numbers.map((at) => at + side)).flatMap((host) => [
  { family: 4 as const, value: 0x0a00_0000n + BigInt(host) },
  { family: 6 as const, value: (0xfdn << 120n) + BigInt(host) },
])

test('law: P25 P26 swept blocks are what each block says of each address', async (t) =>
  holds(
    t,
    fc.property(fc.array(block, { maxLength: 6 }), (blocks) => {
      const ranges = sweep(blocks)
      return addresses.every((address) => {
        const wanted = blocks
          .filter(({ cidr }) => contains(cidr, address))
          .filter(({ except }) => !except.some((hole) => contains(hole, address)))
          .reduce((sum: Spans, one) => union(sum, one.spans), [])
        return spansKey(spansAt(ranges, address)) === spansKey(wanted)
      })
    }),
    1000,
  ))

test('law: swept ranges are disjoint, in order, and no two neighbours say the same', async (t) =>
  holds(
    t,
    fc.property(fc.array(block, { maxLength: 6 }), (blocks) => {
      const ranges = sweep(blocks)
      return ranges.every((range, at) => {
        const next = ranges[at + 1]
        const isWhole = range.first <= range.last && range.spans.length > 0
        if (!next || next.family > range.family) return isWhole
        const isTouching = next.first === range.last + 1n
        const isOther = spansKey(next.spans) !== spansKey(range.spans)
        return isWhole && next.first > range.last && (!isTouching || isOther)
      })
    }),
    1000,
  ))

test('P6 P26 a block of a whole family ends with it', (t) => {
  const whole = (text: string) => {
    const cidr = parsePrefix(text)
    return cidr ? sweep([{ cidr, except: [], spans: everySpan }]) : []
  }
  t.same(whole('0.0.0.0/0'), [{ family: 4, first: 0n, last: 2n ** 32n - 1n, spans: everySpan }])
  t.same(whole('::/0'), [{ family: 6, first: 0n, last: 2n ** 128n - 1n, spans: everySpan }])
  t.end()
})
