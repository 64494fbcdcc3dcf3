import { type ClusterNode, sameNode } from '../cluster/node.ts'
import type { NodeNews } from '../cluster/node-feed.ts'

/** Where what is known of the cluster comes from; nothing is done to the kernel for `nothing`. */
export type Using = 'nothing' | 'known' | 'live'

/**
 * The cluster as the loops see it: written by the sources of nodes, read by everybody else. The
 * loops meet here and in the kernel, nowhere else.
 */
export class Snapshot {
  readonly #nodes = new Map<string, ClusterNode>()
  #using: Using = 'nothing'

  get using(): Using {
    return this.#using
  }

  get nodes(): ReadonlyMap<string, ClusterNode> {
    return this.#nodes
  }

  /**
   * Names of the nodes that are other than before. What was last known on disk gives way to the
   * first whole news of a live source, and does not come back.
   */
  take(news: NodeNews, from: 'known' | 'live'): ReadonlySet<string> {
    if (from === 'known' && this.#using === 'live') return new Set()
    switch (news.kind) {
      case 'all':
        this.#using = from
        return this.#replace(news.nodes)
      case 'changed':
        return this.#put(news.node)
      case 'gone':
        return new Set(this.#nodes.delete(news.name) ? [news.name] : [])
    }
  }

  #replace(nodes: readonly ClusterNode[]): ReadonlySet<string> {
    const named = new Map(nodes.map((node) => [node.name, node]))
    const changed = new Set<string>()
    for (const name of this.#nodes.keys())
      if (!named.has(name)) {
        this.#nodes.delete(name)
        changed.add(name)
      }
    for (const node of named.values()) for (const name of this.#put(node)) changed.add(name)
    return changed
  }

  #put(node: ClusterNode): ReadonlySet<string> {
    const before = this.#nodes.get(node.name)
    if (before && sameNode(before, node)) return new Set()
    this.#nodes.set(node.name, node)
    return new Set([node.name])
  }
}
