import fc from 'fast-check'
import { test } from 'tap'
import {
  decodeElementTexts,
  deleteElements,
  newElements,
  type PlainElement,
  textOfElement,
} from '../../../src/wire/nft/element-list.ts'
import { holds } from '../../base/law.ts'
import { attributesOf } from '../../datapath/printed.ts'

const name = { family: 'inet', table: 't', set: 's' } as const
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

const anyElement: fc.Arbitrary<PlainElement> = fc.oneof(
  fc.record({ key: bytes(4) }),
  fc.record({ key: bytes(12), end: bytes(12) }),
  fc.record({ key: bytes(4), value: bytes(4) }),
  fc.record({
    key: bytes(16),
    verdict: fc.oneof(fc.constant('return' as const), fc.record({ goto: fc.constant('in-1') })),
  }),
)

test('what is sent is read back', async (t) => {
  holds(
    t,
    fc.property(fc.array(anyElement), (elements) => {
      const texts = newElements(name, elements).flatMap(({ body }) => decodeElementTexts(body))
      return texts.join('\n') === elements.map(textOfElement).join('\n')
    }),
  )
})

test('many elements are several messages, none with a list of more than 64 KB', async (t) => {
  const elements = Array.from({ length: 10_000 }, (_, at) => ({
    key: Uint8Array.of(10, 0, at >> 8, at),
    value: new Uint8Array(4),
  }))
  for (const queries of [newElements(name, elements), deleteElements(name, elements)]) {
    t.ok(queries.length > 1 && queries.length < 20, `${queries.length} messages`)
    for (const { body } of queries) {
      const list = attributesOf(Buffer.from(body).subarray(4)).find(({ type }) => type === 3)
      t.ok(list && list.payload.length < 65_532)
    }
    const texts = queries.flatMap(({ body }) => decodeElementTexts(body))
    t.equal(new Set(texts).size, elements.length)
  }
  t.strictSame(newElements(name, []), [], 'none is no message')
})

test('what is deleted is named by its key, and its end', async (t) => {
  const element = { key: Uint8Array.of(1, 2, 3, 4), end: Uint8Array.of(9, 9, 9, 9) }
  const [query] = deleteElements(name, [{ ...element, value: new Uint8Array(4) }])
  t.strictSame(decodeElementTexts(query?.body ?? new Uint8Array(4)), ['01020304-09090909'])
})
