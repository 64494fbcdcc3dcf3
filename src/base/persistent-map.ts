/** By its key; `undefined` deletes. */
export type MapChange<Value> = {
  readonly key: string
  readonly before: Value | undefined
  readonly after: Value | undefined
}

type Bucket<Value> = ReadonlyMap<string, Value>

/** Twenty keys a bucket at 20,000: to copy one, and the list of them, costs microseconds. */
const bucketCount = 1024

/**
 * A map that is never changed: `with` makes another one, which shares with it what is the same. So
 * a change of one key among thousands costs little, and so does it to find what differs.
 */
export class PersistentMap<Value> implements ReadonlyMap<string, Value> {
  readonly size: number
  readonly #buckets: readonly Bucket<Value>[]

  private constructor(buckets: readonly Bucket<Value>[], size: number) {
    this.#buckets = buckets
    this.size = size
  }

  static empty<Value>(): PersistentMap<Value> {
    return new PersistentMap<Value>(new Array<Bucket<Value>>(bucketCount).fill(new Map()), 0)
  }

  get(key: string): Value | undefined {
    return this.#buckets[placeOf(key)]?.get(key)
  }

  has(key: string): boolean {
    return this.#buckets[placeOf(key)]?.has(key) === true
  }

  /** This very map, where nothing is other than it was. */
  with(changes: ReadonlyMap<string, Value | undefined>): PersistentMap<Value> {
    const buckets = [...this.#buckets]
    const copies = new Map<number, Map<string, Value>>()
    let { size } = this
    for (const [key, value] of changes) {
      if (value === this.get(key)) continue
      const place = placeOf(key)
      const copy = copies.get(place) ?? new Map(buckets[place])
      copies.set(place, copy)
      buckets[place] = copy
      size -= copy.size
      if (value === undefined) copy.delete(key)
      else copy.set(key, value)
      size += copy.size
    }
    return copies.size === 0 ? this : new PersistentMap(buckets, size)
  }

  /** Of maps of which one was made of the other, or both of a third, only what is not shared. */
  static changes<Value>(
    before: ReadonlyMap<string, Value>,
    after: ReadonlyMap<string, Value>,
  ): readonly MapChange<Value>[] {
    if (before === after) return []
    if (!(before instanceof PersistentMap && after instanceof PersistentMap))
      return differences(before, after)
    return after.#buckets.flatMap((bucket, at) => {
      const old = before.#buckets[at]
      return old === undefined || old === bucket ? [] : differences(old, bucket)
    })
  }

  *entries(): MapIterator<[string, Value]> {
    for (const bucket of this.#buckets) yield* bucket
  }

  *keys(): MapIterator<string> {
    for (const bucket of this.#buckets) yield* bucket.keys()
  }

  *values(): MapIterator<Value> {
    for (const bucket of this.#buckets) yield* bucket.values()
  }

  [Symbol.iterator](): MapIterator<[string, Value]> {
    return this.entries()
  }

  forEach(tell: (value: Value, key: string, map: ReadonlyMap<string, Value>) => void): void {
    for (const [key, value] of this) tell(value, key, this)
  }
}

function differences<Value>(
  before: ReadonlyMap<string, Value>,
  after: ReadonlyMap<string, Value>,
): readonly MapChange<Value>[] {
  const found: MapChange<Value>[] = []
  for (const [key, value] of after) {
    const old = before.get(key)
    if (old !== value) found.push({ key, before: old, after: value })
  }
  for (const [key, old] of before)
    if (!after.has(key)) found.push({ key, before: old, after: undefined })
  return found
}

/** FNV-1a, 32 bits (RFC 9923), folded to a bucket. */
function placeOf(key: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193)
  return (hash ^ (hash >>> 16)) & (bucketCount - 1)
}
