import fc from 'fast-check'
import { test } from 'tap'
import { PersistentMap } from '../../src/base/persistent-map.ts'
import { holds } from './law.ts'

const keys = Array.from({ length: 5000 }, (_, at) => `10.0.${at >> 8}.${at & 255}`)
const change = fc.tuple(
  fc.constantFrom(...keys.slice(0, 12)),
  fc.option(fc.nat(3), { nil: undefined }),
)
const changes = fc.array(change, { maxLength: 8 }).map((list) => new Map(list))

const applied = (
  map: ReadonlyMap<string, number>,
  all: ReadonlyMap<string, number | undefined>,
) => {
  const next = new Map(map)
  for (const [key, value] of all)
    if (value === undefined) next.delete(key)
    else next.set(key, value)
  return next
}
const sorted = (map: Iterable<[string, number]>) => JSON.stringify([...map].sort())

test('law: it holds what a plain map holds, and what was made before stays as it was', async (t) =>
  holds(
    t,
    fc.property(fc.array(changes, { maxLength: 6 }), (rounds) => {
      let plain: ReadonlyMap<string, number> = new Map()
      let map = PersistentMap.empty<number>()
      return rounds.every((round) => {
        const before = sorted(map)
        const [next, wanted] = [map.with(round), applied(plain, round)]
        const isOld = sorted(map) === before && (next === map) === (sorted(wanted) === before)
        const patch = new Map(
          PersistentMap.changes(map, next).map(({ key, after }) => [key, after]),
        )
        const isPatch = sorted(applied(plain, patch)) === sorted(wanted)
        const isSame =
          sorted(next) === sorted(wanted) &&
          next.size === wanted.size &&
          keys.slice(0, 12).every((key) => next.get(key) === wanted.get(key)) &&
          [...next.keys()].every((key) => next.has(key))
        ;[map, plain] = [next, wanted]
        return isOld && isPatch && isSame
      })
    }),
    500,
  ))

test('changes are those between the two, also of plain maps', (t) => {
  const all = new Map(keys.map((key, at) => [key, at] as const))
  const before = PersistentMap.empty<number>().with(all)
  const after = before.with(
    new Map([
      ['10.0.0.7', undefined],
      ['new', 1],
      ['10.0.0.9', 2],
    ]),
  )
  const wanted = [
    { key: '10.0.0.7', before: 7, after: undefined },
    { key: '10.0.0.9', before: 9, after: 2 },
    { key: 'new', before: undefined, after: 1 },
  ]
  const told = (one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>) =>
    PersistentMap.changes(one, other).toSorted((left, right) => (left.key < right.key ? -1 : 1))
  t.same(told(before, after), wanted)
  t.same(told(new Map(before), after), wanted)
  t.same(told(before, new Map(after)), wanted)
  t.same(told(after, after), [])
  t.equal(after.size, keys.length)
  const seen: string[] = []
  after.forEach((_, key) => {
    seen.push(key)
  })
  t.equal(new Set(seen).size, keys.length)
  t.equal([...after.values()].length, keys.length)
  t.end()
})
