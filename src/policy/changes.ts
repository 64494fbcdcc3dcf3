/** What differs between a map and the same one some time ago: values are compared as objects. */
export type Change<Key, Value> = {
  readonly key: Key
  readonly before: Value | undefined
  readonly after: Value | undefined
}

/** Takes the differences over into `seen`. One pass over `now`; over `seen` only if some went. */
export function takeChanges<Key, Value>(
  seen: Map<Key, Value>,
  now: ReadonlyMap<Key, Value>,
): readonly Change<Key, Value>[] {
  const changes: Change<Key, Value>[] = []
  for (const [key, after] of now) {
    const before = seen.get(key)
    if (before === after) continue
    seen.set(key, after)
    changes.push({ key, before, after })
  }
  if (seen.size === now.size) return changes
  for (const [key, before] of seen)
    if (!now.has(key)) {
      seen.delete(key)
      changes.push({ key, before, after: undefined })
    }
  return changes
}
