import { decodeNode } from '../cluster/decode-node.ts'
import { type ClusterNode, sameNode } from '../cluster/node.ts'
import type { NodeNews } from '../cluster/node-feed.ts'
import type { KubeClient } from './client.ts'
import { nodeGist } from './gist.ts'
import type { Patience } from './list-watch.ts'
import type { Reflected } from './reflected.ts'
import { Reflector } from './reflector.ts'
import { nodes } from './resource.ts'
import type { Time } from './time.ts'

export type NodeFeedOptions = {
  readonly client: KubeClient
  /** Flannel's annotations count. */
  readonly flannelCompat: boolean
  readonly onNews: (news: NodeNews) => void
  /** What is wrong in a Node; told when it changes, with nothing when all is well again. */
  readonly onNodeProblems?: (name: string, problems: readonly string[]) => void
  /** Each failed try to reach the API. */
  readonly onProblem?: (problem: Error) => void
  /** As of the reflector: something works, for the first time or again. */
  readonly onWell?: () => void
  readonly time?: Time
  readonly patience?: Patience
}

/**
 * All Nodes of the cluster, trimmed while they are read. kubelet writes its Node every few minutes
 * and whenever its status changes; of that, nothing is told that routes don't depend on.
 */
export function feedNodes(options: NodeFeedOptions): Reflector<ClusterNode> {
  const { flannelCompat, onNews, onNodeProblems, ...rest } = options
  const told = new Map<string, string>()
  const judge = (name: string, problems: readonly string[]): void => {
    const text = problems.join('\n')
    if ((told.get(name) ?? '') === text) return
    if (text === '') told.delete(name)
    else told.set(name, text)
    onNodeProblems?.(name, problems)
  }
  return new Reflector<ClusterNode>({
    ...rest,
    resource: nodes,
    isSame: sameNode,
    gistOf: nodeGist,
    select: (object) => {
      const { node, problems } = decodeNode(object, { flannelCompat })
      judge(node?.name ?? '', problems)
      return node
    },
    onNews: (news) => {
      if (news.kind === 'all')
        for (const name of told.keys()) if (!news.items.has(name)) told.delete(name)
      if (news.kind === 'gone') told.delete(news.key)
      onNews(nodeNewsOf(news))
    },
  })
}

function nodeNewsOf(news: Reflected<ClusterNode>): NodeNews {
  if (news.kind === 'all') return { kind: 'all', nodes: [...news.items.values()] }
  if (news.kind === 'changed') return { kind: 'changed', node: news.item }
  return { kind: 'gone', name: news.key }
}
