import type { KubeClient } from '../kube/client.ts'
import {
  feedCiliumPolicies,
  feedNamespaces,
  feedNetworkPolicies,
  feedPods,
} from '../kube/policy-feeds.ts'
import type { PolicyBook } from './policy-book.ts'

/** Where policies come from, while the agent runs. */
export type PolicySourceRun = {
  /** Why what is known may be old, in words; empty: it is not. */
  readonly problems: () => readonly string[]
  readonly close: () => Promise<void>
}

/**
 * Fills the book from the Kubernetes API, all of the cluster.
 *
 * @param onProblems called when `problems` may say something else than before.
 */
export function openPolicyFeeds(
  client: KubeClient,
  book: PolicyBook,
  onProblems: () => void,
): PolicySourceRun {
  const shared = { client, onProblem: onProblems, onWell: onProblems }
  const feeds = [
    feedNamespaces({ ...shared, onNews: (news) => book.hearNamespaces(news) }),
    feedPods({ ...shared, onNews: (news) => book.hearPods(news) }),
    feedNetworkPolicies({
      ...shared,
      onNews: (news) => book.hearPolicies('NetworkPolicy', news),
      onVersion: (version) => book.reached('NetworkPolicy', version),
    }),
    feedCiliumPolicies({
      ...shared,
      onNews: (news) => book.hearPolicies('CiliumNetworkPolicy', news),
      onVersion: (version) => book.reached('CiliumNetworkPolicy', version),
    }),
  ]
  for (const feed of feeds) feed.start()
  return {
    problems: () => feeds.flatMap((feed) => feed.status().lastError ?? []),
    close: async () => {
      await Promise.all(feeds.map((feed) => feed.stop()))
    },
  }
}
