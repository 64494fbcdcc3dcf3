import fc from 'fast-check'
import { test } from 'tap'
import { repeatedKeys } from '../../src/cni/json-keys.ts'
import { holds } from '../base/law.ts'

for (const { why, text, path = ['a'], want } of [
  { why: 'none', text: '{"a": {"x": 1, "y": 2}}', want: [] },
  { why: 'one', text: '{"a": {"x": 1, "y": 2, "x": 3}}', want: ['x'] },
  { why: 'thrice', text: '{"a": {"x": 1, "x": 2, "x": 3}}', want: ['x', 'x'] },
  { why: 'in another spelling of JSON', text: '{"a": {"x": 1, "\\u0078": 2}}', want: ['x'] },
  { why: 'values are no keys', text: '{"a": {"x": "x", "y": ["x", "x"]}}', want: [] },
  { why: 'of an inner object', text: '{"a": {"x": {"y": 1}, "z": {"y": 1}}}', want: [] },
  { why: 'of another object', text: '{"b": {"x": 1, "x": 2}, "a": {}}', want: [] },
  { why: 'of the object’s parent', text: '{"a": {}, "b": 1, "b": 2}', want: [] },
  { why: 'two objects, as Go merges them', text: '{"a": {"x": 1}, "A": {"x": 2}}', want: ['x'] },
  { why: 'deep', path: ['a', 'b'], text: '{"a": {"b": {"x": 1, "x": 2}}}', want: ['x'] },
  { why: 'not so deep', path: ['a', 'b'], text: '{"a": {"x": 1, "x": 2}}', want: [] },
  { why: 'a list is no object', text: '{"a": ["x", "x", "x"], "b": [{"x": 1, "x": 1}]}', want: [] },
  {
    why: 'brackets in texts',
    text: '{"}": "{[\\"", "a": {"x,": 1, "x:": 2, "x,": 3}}',
    want: ['x,'],
  },
])
  test(`repeated keys: ${why}`, async (t) => {
    t.same(repeatedKeys(text, path), want)
  })

test('JSON.stringify repeats none; one that is put in front is found', async (t) => {
  const object = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 })
  holds(
    t,
    fc.property(object, (list) => {
      const [key = ''] = Object.keys(list)
      const inner = JSON.stringify(list)
      const twice = `{${JSON.stringify(key)}:[],${inner.slice(1)}`
      const found = [inner, twice].map((text) => repeatedKeys(`{"b":${text},"a":${text}}`, ['a']))
      return JSON.stringify(found) === JSON.stringify([[], [key]])
    }),
  )
})
