import { keyOf } from './difference.ts'
import type { FabricEntry } from './fabric.ts'
import type { Woven } from './peer.ts'

type Claim = { readonly node: string; readonly entry: FabricEntry }

/**
 * What all nodes together want, changed one node at a time: a change costs what that node has, not
 * what the cluster has. The order of changes leaves no trace: where two nodes claim one key, the
 * first by name has it.
 */
export class Weave {
  readonly #nodes = new Map<string, Woven>()
  readonly #wanted = new Map<string, FabricEntry>()
  readonly #owners = new Map<string, string>()
  /** Those of the nodes that have a problem; asked for after every change. */
  readonly #troubled = new Map<string, Woven>()
  /** Keys that more than one node claims: all of their claims. */
  readonly #contested = new Map<string, readonly Claim[]>()

  /** By `keyOf`. */
  get wanted(): ReadonlyMap<string, FabricEntry> {
    return this.#wanted
  }

  get nodes(): ReadonlyMap<string, Woven> {
    return this.#nodes
  }

  get troubled(): ReadonlyMap<string, Woven> {
    return this.#troubled
  }

  /** In the place of what the node of this name had. The keys that this may have changed. */
  put(woven: Woven): ReadonlySet<string> {
    const touched = this.#forget(woven.name)
    if (woven.entries.length > 0 || woven.ways.length > 0 || woven.problem !== undefined)
      this.#nodes.set(woven.name, woven)
    if (woven.problem !== undefined) this.#troubled.set(woven.name, woven)
    for (const entry of woven.entries) {
      const key = keyOf(entry)
      touched.add(key)
      this.#claim(key, { node: woven.name, entry })
    }
    return touched
  }

  /** A node that is gone. */
  drop(name: string): ReadonlySet<string> {
    return this.#forget(name)
  }

  #forget(name: string): Set<string> {
    const touched = new Set<string>()
    for (const entry of this.#nodes.get(name)?.entries ?? []) {
      const key = keyOf(entry)
      touched.add(key)
      this.#settle(
        key,
        this.#claimsOf(key).filter(({ node }) => node !== name),
      )
    }
    this.#nodes.delete(name)
    this.#troubled.delete(name)
    return touched
  }

  #claim(key: string, claim: Claim): void {
    if (!this.#owners.has(key)) {
      this.#wanted.set(key, claim.entry)
      this.#owners.set(key, claim.node)
      return
    }
    const others = this.#claimsOf(key).filter(({ node }) => node !== claim.node)
    this.#settle(key, [...others, claim])
  }

  #claimsOf(key: string): readonly Claim[] {
    const contested = this.#contested.get(key)
    if (contested) return contested
    const [entry, node] = [this.#wanted.get(key), this.#owners.get(key)]
    return entry && node !== undefined ? [{ node, entry }] : []
  }

  #settle(key: string, claims: readonly Claim[]): void {
    const [first, ...rest] = [...claims].sort((left, right) => (left.node < right.node ? -1 : 1))
    this.#contested.delete(key)
    this.#wanted.delete(key)
    this.#owners.delete(key)
    if (!first) return
    this.#wanted.set(key, first.entry)
    this.#owners.set(key, first.node)
    if (rest.length > 0) this.#contested.set(key, [first, ...rest])
  }
}

/** The part of a map that these keys name: what `changesBetween` needs after a small change. */
export function onlyKeys(
  entries: ReadonlyMap<string, FabricEntry>,
  keys: ReadonlySet<string>,
): ReadonlyMap<string, FabricEntry> {
  const found = new Map<string, FabricEntry>()
  for (const key of keys) {
    const entry = entries.get(key)
    if (entry) found.set(key, entry)
  }
  return found
}
