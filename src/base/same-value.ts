/** Equal plain values: scalars, lists, records and maps of them, whatever order maps are in. */
export function sameValue(left: unknown, right: unknown): boolean {
  if (Object.is(left, right)) return true
  if (typeof left !== 'object' || typeof right !== 'object') return false
  if (left === null || right === null) return false
  if (Array.isArray(left) || Array.isArray(right)) return sameList(left, right)
  if (left instanceof Map || right instanceof Map) return sameMap(left, right)
  return sameMap(new Map(Object.entries(left)), new Map(Object.entries(right)))
}

const sameList = (left: unknown, right: unknown): boolean =>
  Array.isArray(left) &&
  Array.isArray(right) &&
  left.length === right.length &&
  left.every((one, at) => sameValue(one, right[at]))

const sameMap = (left: unknown, right: unknown): boolean =>
  left instanceof Map &&
  right instanceof Map &&
  left.size === right.size &&
  [...left].every(([key, value]) => right.has(key) && sameValue(value, right.get(key)))
