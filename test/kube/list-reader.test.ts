import fc from 'fast-check'
import { test } from 'tap'
import { ListReader } from '../../src/kube/list-reader.ts'
import { holds } from '../base/law.ts'

function read(pieces: readonly Buffer[]): { items: unknown[]; list: unknown } {
  const items: unknown[] = []
  const reader = new ListReader((text) => items.push(JSON.parse(text)))
  for (const piece of pieces) reader.push(piece)
  return { items, list: reader.end() }
}

/** The text in pieces that end at these places, in the middle of characters too. */
function cut(text: string, places: readonly number[]): readonly Buffer[] {
  const bytes = Buffer.from(text)
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, at) => bytes.subarray(at === 0 ? 0 : ends[at - 1], end))
}

// JSON.parse is the oracle: what it reads whole, the reader reads piece by piece.
test('items come one by one, however the text is cut', async (t) => {
  const word = fc.oneof(fc.string(), fc.constantFrom('items', '"items":[', '\\', '"', '}', 'ü€😀'))
  // No escapes in keys: where V8 13.6 expects the key "\\" it takes "\"" for it as well.
  const key = word.filter((text) => !/["\\\p{Cc}]/u.test(text))
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 3 },
      word,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(key, tie('tree'), { maxKeys: 3 }),
    ),
  }))
  const item = fc.dictionary(key, tree, { maxKeys: 4 })
  const other = fc.constantFrom('metadata', 'kind', 'apiVersion', 'item', 'itemsx', 'items ')
  const list = fc.record({
    before: fc.dictionary(other, tree, { maxKeys: 2 }),
    items: fc.array(item, { maxLength: 4 }),
    after: fc.dictionary(other, tree, { maxKeys: 2 }),
    indent: fc.constantFrom(0, 1),
    places: fc.array(fc.nat(2000), { maxLength: 30 }),
  })
  const property = fc.property(list, ({ before, items, after, indent, places }) => {
    const whole = { ...before, items, ...after }
    const found = read(cut(JSON.stringify(whole, null, indent), places))
    const want = JSON.parse(JSON.stringify({ items, list: { ...whole, items: [] } }))
    return JSON.stringify(found) === JSON.stringify(want)
  })
  return holds(t, property, 1000)
})

test('a list byte by byte', async (t) => {
  const text = '{"kind":"NodeList","items":[{"a":"\\"}"},{"b":[1,{"c":"]"}]}],"metadata":{"x":1}}'
  const { items, list } = read(Array.from(Buffer.from(text), (byte) => Buffer.of(byte)))
  t.same(items, [{ a: '"}' }, { b: [1, { c: ']' }] }])
  t.same(list, { kind: 'NodeList', items: [], metadata: { x: 1 } })
})

for (const { why, text } of [
  { why: 'nothing', text: '' },
  { why: 'half a list', text: '{"items":[{"a":1}' },
  { why: 'half an item', text: '{"items":[{"a":' },
  { why: 'half a string', text: '{"items":[],"metadata":{"a":"' },
  { why: 'too many brackets', text: '{"items":[]]}' },
  { why: 'two lists', text: '{"items":[]}{"items":[]}' },
])
  test(`no list: ${why}`, async (t) => t.throws(() => read([Buffer.from(text)])))

for (const { why, text } of [
  { why: 'items that are null, as Go has empty ones', text: '{"items":null}' },
  { why: 'items that are no list', text: '{"items":{"a":[{"b":1}]}}' },
  { why: 'items deeper down', text: '{"metadata":{"items":[{"a":1}]}}' },
  { why: 'items in a list', text: '[{"items":[{"a":1}]}]' },
])
  test(`a list without objects: ${why}`, async (t) => {
    const { items, list } = read([Buffer.from(text)])
    t.same(items, [])
    t.same(list, JSON.parse(text))
  })

test('an object without end is refused at 8 MiB', async (t) => {
  const reader = new ListReader(() => undefined)
  const piece = Buffer.alloc(2 ** 20, 'x')
  reader.push(Buffer.from('{"items":[{"a":"'))
  for (let count = 0; count < 7; count++) reader.push(piece)
  t.throws(() => reader.push(piece), { message: /an object of the list is longer than/ })
})

test('a list’s own fields without end are refused at 1 MiB', async (t) => {
  const reader = new ListReader(() => undefined)
  reader.push(Buffer.from('{"metadata":"'))
  t.throws(() => reader.push(Buffer.alloc(2 ** 20, 'x')), { message: /longer than/ })
})
