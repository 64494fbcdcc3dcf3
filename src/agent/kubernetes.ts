import type { ClusterNode } from '../cluster/node.ts'
import type { NodeNews } from '../cluster/node-feed.ts'
import { findAccess } from '../kube/access-source.ts'
import { KubeClient } from '../kube/client.ts'
import { feedNodes } from '../kube/node-feed.ts'
import { tunnelMac } from '../overlay/device.ts'
import type { NodeSource } from './config.ts'
import { type NodeSourceRun, type SourceEars, secondsSince } from './sources.ts'

export type KubernetesSource = Exclude<NodeSource, { kind: 'nodes-file' }>

/** Reads the credentials; throws CredentialsRefusal, in words, if there are none. */
export function kubeClientFor(source: KubernetesSource): KubeClient {
  const kubeconfig = source.kind === 'kubeconfig' ? source.path : undefined
  const client = new KubeClient(findAccess({ kubeconfig, environment: process.env }))
  client.access()
  return client
}

export type KubernetesEars = SourceEars & {
  readonly flannelCompat: boolean
  /** What is wrong in one Node; none: nothing any more. */
  readonly onNodeProblems: (name: string, problems: readonly string[]) => void
}

export function openKubernetes(client: KubeClient, ears: KubernetesEars): NodeSourceRun {
  const { clock, onNews, onProblem, onNodeProblems, flannelCompat } = ears
  const feed = feedNodes({
    client,
    flannelCompat,
    onNews: (news) => onNews(withoutOurVteps(news)),
    onNodeProblems,
    onWell: () => onProblem(undefined),
    onProblem: (problem) => onProblem(`Cannot hear the Kubernetes API: ${problem.message}`),
  })
  feed.start()
  return {
    status: () => {
      const { connected, lastContactMs, lastError } = feed.status()
      return {
        kind: 'kubernetes',
        where: client.access().server,
        connected,
        ...secondsSince(lastContactMs, clock),
        ...(lastError === undefined ? {} : { error: lastError }),
      }
    },
    close: () => feed.stop(),
  }
}

/**
 * With `flannelCompat` a node of ours has Flannel's annotations too. It is known by its MAC, which
 * follows from its address, and is spoken to in our way: Flannel's knows no plain routes.
 */
function withoutOurVteps(news: NodeNews): NodeNews {
  if (news.kind === 'all') return { ...news, nodes: news.nodes.map(withoutOurs) }
  return news.kind === 'changed' ? { ...news, node: withoutOurs(news.node) } : news
}

function withoutOurs(node: ClusterNode): ClusterNode {
  if (!node.flannel?.every(({ mac, address }) => mac.toLowerCase() === tunnelMac(address)))
    return node
  const { flannel: _, ...rest } = node
  return rest
}
