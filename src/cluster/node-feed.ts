import type { ClusterNode } from './node.ts'

/**
 * What a source of nodes (the Kubernetes API, a watched file, the last known ones on disk) tells.
 * `all` replaces everything told before; only it makes anybody forget a node that it lacks.
 */
export type NodeNews =
  | { readonly kind: 'all'; readonly nodes: readonly ClusterNode[] }
  | { readonly kind: 'changed'; readonly node: ClusterNode }
  | { readonly kind: 'gone'; readonly name: string }
