import { PersistentMap } from '../base/persistent-map.ts'
import { type Identity, nodeIdentity, ownNodeIdentity } from './program.ts'

type Claim = { readonly owner: string; readonly identity: Identity }
/** How many objects tell that it is this node's, or another's. */
type NodeClaims = { own: number; other: number }

/**
 * Whose each address is, by its text. Pods come before nodes. Of two pods it is the one that this
 * node has on record, else the one that claimed it last; the other gets it back when that one goes
 * (P44).
 */
export class OwnedAddresses {
  readonly #pods = new Map<string, readonly Claim[]>()
  readonly #nodes = new Map<string, NodeClaims>()
  /** `undefined`: on record, and no Kubernetes pod's. */
  readonly #local = new Map<string, Identity | undefined>()
  readonly #touched = new Set<string>()
  #identities = PersistentMap.empty<Identity>()

  /** Told again with another identity, an owner keeps its place among the owners. */
  claim(address: string, owner: string, identity: Identity): void {
    const claims = this.#pods.get(address) ?? []
    const at = claims.findIndex((one) => one.owner === owner)
    const claim = { owner, identity }
    this.#pods.set(address, at < 0 ? [...claims, claim] : claims.with(at, claim))
    this.#touched.add(address)
  }

  release(address: string, owner: string): void {
    const rest = (this.#pods.get(address) ?? []).filter((one) => one.owner !== owner)
    if (rest.length === 0) this.#pods.delete(address)
    else this.#pods.set(address, rest)
    this.#touched.add(address)
  }

  /** One more object, or one less, tells that it is a node's. */
  countNode(address: string, whose: keyof NodeClaims, by: 1 | -1): void {
    const claims = this.#nodes.get(address) ?? { own: 0, other: 0 }
    claims[whose] += by
    if (claims.own + claims.other === 0) this.#nodes.delete(address)
    else this.#nodes.set(address, claims)
    this.#touched.add(address)
  }

  setLocal(address: string, identity: Identity | undefined): void {
    this.#local.set(address, identity)
    this.#touched.add(address)
  }

  removeLocal(address: string): void {
    this.#local.delete(address)
    this.#touched.add(address)
  }

  /** The same map as before, where nothing changed. */
  identities(): ReadonlyMap<string, Identity> {
    const told = [...this.#touched].map((address) => [address, this.#identityOf(address)] as const)
    this.#touched.clear()
    this.#identities = this.#identities.with(new Map(told))
    return this.#identities
  }

  #identityOf(address: string): Identity | undefined {
    if (this.#local.has(address)) return this.#local.get(address)
    const claim = this.#pods.get(address)?.at(-1)
    if (claim) return claim.identity
    const node = this.#nodes.get(address)
    if (!node) return undefined
    return node.own > 0 ? ownNodeIdentity : nodeIdentity
  }
}
