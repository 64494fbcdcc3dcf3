import { fieldOf, isObject, type JsonObject } from '../../src/cluster/json-value.ts'

/** JSON Merge Patch (RFC 7386). */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else merged[key] = mergePatch(merged[key], value)
  }
  return merged
}

/** patchMergeKey of the lists in core/v1 that tests touch; "" merges plain values as a set. */
const mergeKeys: Readonly<Record<string, string>> = {
  conditions: 'type',
  addresses: 'type',
  taints: 'key',
  ownerReferences: 'uid',
  finalizers: '',
  podCIDRs: '',
}

/** Strategic merge patch: as a merge patch, but lists with a merge key are merged item by item. */
export function strategicMergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  if (patch.$patch === 'replace') return without(patch, '$patch')
  const merged: Record<string, unknown> = isObject(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    const by = mergeKeys[key]
    if (value === null) delete merged[key]
    else if (Array.isArray(value) && by !== undefined)
      merged[key] = mergeList(merged[key], value, by)
    else merged[key] = strategicMergePatch(merged[key], value)
  }
  return merged
}

function mergeList(target: unknown, patch: readonly unknown[], by: string): readonly unknown[] {
  const list: unknown[] = Array.isArray(target) ? [...target] : []
  if (by === '') return [...new Set([...list, ...patch])]
  for (const item of patch) {
    const index = list.findIndex((one) => fieldOf(one, by) === fieldOf(item, by))
    if (fieldOf(item, '$patch') === 'delete') {
      if (index >= 0) list.splice(index, 1)
    } else if (index < 0) list.push(item)
    else list[index] = strategicMergePatch(list[index], item)
  }
  return list
}

const without = (object: JsonObject, key: string): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([name]) => name !== key))
