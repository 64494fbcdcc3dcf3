import type { ClusterNode } from '../cluster/node.ts'
import type { NodeNews } from '../cluster/node-feed.ts'
import {
  deniedNeeds,
  explainDenied,
  neededAtStart,
  neededBesides,
  neededForPolicy,
  neededForPolicyBesides,
} from '../kube/access.ts'
import { findAccess } from '../kube/access-source.ts'
import { KubeClient } from '../kube/client.ts'
import { feedNodes } from '../kube/node-feed.ts'
import { KubeUnreachable } from '../kube/refusal.ts'
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

/** RBAC does not let the agent work; the text names the rules to add. */
export class RightsMissing extends Error {
  override name = 'RightsMissing'
}

/**
 * Asks whether RBAC lets the agent work; what it could do without is told in words. An API server
 * that does not answer is no reason to refuse: that is when the last known nodes count.
 */
export async function checkRights(
  client: KubeClient,
  work: 'routes' | 'routes and policies',
): Promise<string | undefined> {
  const hasPolicies = work === 'routes and policies'
  const atStart = [...neededAtStart, ...(hasPolicies ? neededForPolicy : [])]
  const besides = [...neededBesides, ...(hasPolicies ? neededForPolicyBesides : [])]
  try {
    const denied = await deniedNeeds(client, [...atStart, ...besides])
    const needed = denied.filter((one) => atStart.includes(one))
    if (needed.length > 0) throw new RightsMissing(`Cannot start. ${explainDenied(needed)}`)
    return denied.length > 0 ? explainDenied(denied) : undefined
  } catch (refusal) {
    if (refusal instanceof RightsMissing) throw refusal
    if (refusal instanceof KubeUnreachable) return refusal.message
    return refusal instanceof Error ? refusal.message : String(refusal)
  }
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
    onNews: (news) => {
      onProblem(undefined)
      onNews(withoutOurVteps(news))
    },
    onNodeProblems,
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
