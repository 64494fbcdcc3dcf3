import { decodeNode } from '../../src/cluster/decode-node.ts'
import { type ClusterNode, sameNode } from '../../src/cluster/node.ts'
import type { NodeNews } from '../../src/cluster/node-feed.ts'
import { KubeClient } from '../../src/kube/client.ts'
import type { Patience } from '../../src/kube/list-watch.ts'
import { feedNodes } from '../../src/kube/node-feed.ts'
import { systemTime, type Time } from '../../src/kube/time.ts'
import { nodeObject } from '../support/api-objects.ts'
import type { ApiServer } from '../support/api-server.ts'

/** No backoff to speak of: a test waits for what happens, not for the clock. */
export const hastyTime: Time = {
  ...systemTime,
  sleep: (ms, signal) => systemTime.sleep(Math.min(ms, 3), signal),
}

/** A server that says nothing is given up after 80 ms. */
export const hastyPatience: Patience = { listIdleMs: 80, watchIdleMs: 80, watchSeconds: 1 }

export const clientOf = (server: { readonly url: string }, token?: string): KubeClient =>
  new KubeClient(() => ({
    server: server.url,
    skipVerify: false,
    source: 'a test',
    ...(token === undefined ? {} : { token }),
  }))

/** What a listener knows that believes the news and nothing else; news that break their promise. */
export class Believer {
  readonly view = new Map<string, ClusterNode>()
  readonly broken: string[] = []
  readonly kinds: string[] = []
  #waiting: { readonly is: () => boolean; readonly resolve: () => void }[] = []

  readonly hear = (news: NodeNews): void => {
    this.kinds.push(news.kind)
    const isFirst = this.kinds.length === 1
    if (isFirst && news.kind !== 'all') this.broken.push('news before the first complete list')
    if (news.kind === 'all') {
      this.view.clear()
      for (const node of news.nodes) this.view.set(node.name, node)
    } else if (news.kind === 'changed') {
      const before = this.view.get(news.node.name)
      if (before && sameNode(before, news.node)) this.broken.push(`noise of ${news.node.name}`)
      this.view.set(news.node.name, news.node)
    } else if (!this.view.delete(news.name)) this.broken.push(`${news.name} is gone twice`)
    for (const { is, resolve } of this.#waiting) if (is()) resolve()
    this.#waiting = this.#waiting.filter(({ is }) => !is())
  }

  /** Resolves when it holds, now or after some news. */
  until(is: () => boolean): Promise<void> {
    if (is()) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ is, resolve }))
  }
}

/** The nodes that the server has, decoded by themselves. */
export const nodesOf = (server: ApiServer): readonly ClusterNode[] =>
  server.store.list('/nodes').flatMap(({ object }) => {
    const { node } = decodeNode(object, { flannelCompat: true })
    return node ?? []
  })

export const sameView = (believer: Believer, server: ApiServer): boolean => {
  const nodes = nodesOf(server)
  if (nodes.length !== believer.view.size) return false
  return nodes.every((node) => {
    const seen = believer.view.get(node.name)
    return seen !== undefined && sameNode(seen, node)
  })
}

/** A feed with its listener; a sentinel is the last change, so that its news is the end. */
export function watched(server: ApiServer, { token }: { token?: string } = {}) {
  const believer = new Believer()
  const problems: string[] = []
  const feed = feedNodes({
    client: clientOf(server, token),
    flannelCompat: true,
    onNews: believer.hear,
    onProblem: ({ message }) => problems.push(message),
    time: hastyTime,
    patience: hastyPatience,
  })
  const settled = (): Promise<void> => {
    const name = `node-${60_000 + Math.trunc(server.store.revision % 5000)}`
    server.store.put('/nodes', nodeObject(Number(name.slice('node-'.length))))
    return believer.until(() => believer.view.has(name) && sameView(believer, server))
  }
  return { believer, feed, problems, settled }
}
