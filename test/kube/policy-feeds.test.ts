import { setTimeout } from 'node:timers/promises'
import { test } from 'tap'
import type { Pod } from '../../src/cluster/pod.ts'
import { podGist } from '../../src/kube/gist.ts'
import {
  type FeedOptions,
  feedCiliumPolicies,
  feedNetworkPolicies,
  feedPods,
} from '../../src/kube/policy-feeds.ts'
import type { Reflected } from '../../src/kube/reflected.ts'
import type { Reflector } from '../../src/kube/reflector.ts'
import { systemTime } from '../../src/kube/time.ts'
import { ApiServer } from '../support/api-server.ts'
import { clientOf, hastyPatience, hastyTime } from './reflected.ts'

type Json = Readonly<Record<string, unknown>>

/** As an API server writes it: name, namespace, uid and version first. */
const pod = (name: string, change: { labels?: Json; spec?: Json; status?: Json } = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', labels: change.labels ?? { app: 'api' } },
  spec: {
    nodeName: 'a',
    containers: [{ name: 'c', ports: [{ containerPort: 80, name: 'http' }] }],
    ...change.spec,
  },
  status: { phase: 'Running', podIP: '10.1.0.7', podIPs: [{ ip: '10.1.0.7' }], ...change.status },
})

class Told<Item> {
  readonly view = new Map<string, Item>()
  readonly kinds: string[] = []
  readonly versions: string[] = []
  /** How many were known after each news. */
  readonly sizes: number[] = []
  readonly onVersion = (version: string): void => {
    this.versions.push(version)
  }

  readonly onNews = (news: Reflected<Item>): void => {
    this.kinds.push(news.kind)
    if (news.kind === 'all') {
      this.view.clear()
      for (const [key, item] of news.items) this.view.set(key, item)
    } else if (news.kind === 'changed') this.view.set(news.key, news.item)
    else this.view.delete(news.key)
    this.sizes.push(this.view.size)
  }

  async until(is: () => boolean): Promise<void> {
    while (!is()) await setTimeout(2)
  }
}

async function withFeed<Item>(
  open: (options: FeedOptions<Item>) => Reflector<Item>,
  use: (server: ApiServer, told: Told<Item>, feed: Reflector<Item>) => Promise<void>,
  given: Partial<FeedOptions<Item>> = {},
): Promise<void> {
  const server = new ApiServer()
  await server.listen()
  const told = new Told<Item>()
  const { onNews, onVersion } = told
  const client = clientOf(server)
  const feed = open({ client, onNews, onVersion, time: hastyTime, ...given })
  try {
    await use(server, told, feed)
  } finally {
    await feed.stop()
    client.close()
    await server.stop()
  }
}

test('pods of one ReplicaSet share what they have in common', (t) =>
  withFeed<Pod>(feedPods, async (server, told, feed) => {
    for (const name of ['one', 'two']) server.store.put('/pods', pod(name))
    feed.start()
    await told.until(() => told.view.size === 2)
    const [one, two] = [told.view.get('shop/one'), told.view.get('shop/two')]
    t.match(one, { uid: /^uid-/, isDone: false, node: 'a', ports: [{ port: 80, name: 'http' }] })
    t.not(one?.uid, two?.uid)
    t.equal(one?.labels, two?.labels)
    t.equal(one?.ports, two?.ports)
    server.store.put('/pods', pod('two', { labels: { app: 'db' } }))
    await told.until(() => told.view.get('shop/two')?.labels.get('app') === 'db')
    t.equal(told.view.get('shop/one')?.labels.get('app'), 'api', 'and nothing that they have not')
  }))

test('what does not matter of a pod is no news, and its version counts all the same', (t) =>
  withFeed<Pod>(feedPods, async (server, told, feed) => {
    server.store.put('/pods', pod('one'))
    feed.start()
    await told.until(() => feed.status().connected)
    const noise = server.store.put('/pods', pod('one', { status: { message: 'restarted' } }))
    await told.until(() => told.versions.at(-1) === String(noise.revision))
    t.same(told.kinds, ['all'])
    server.store.put('/pods', pod('one', { status: { phase: 'Succeeded' } }))
    await told.until(() => told.view.get('shop/one')?.isDone === true)
    t.same(told.kinds, ['all', 'changed'])
  }))

const eventOf = (object: Json): string => JSON.stringify({ type: 'MODIFIED', object })
const apiPod = (change: Json = {}, status: Json = {}): Json => ({
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: {
    name: 'api-0',
    namespace: 'shop',
    uid: 'u-1',
    resourceVersion: '7',
    labels: { app: 'api' },
    ownerReferences: [{ kind: 'ReplicaSet', name: 'api', uid: 'u-owner' }],
    ...change,
  },
  spec: { nodeName: 'a', containers: [{ name: 'c' }] },
  status: { phase: 'Running', podIP: '10.1.0.7', podIPs: [{ ip: '10.1.0.7' }], ...status },
})
const gistOf = (object: Json) => podGist(eventOf(object))

test("a pod's gist: its own uid, and what can change of it", (t) => {
  t.match(gistOf(apiPod()), { type: 'put', key: 'u-1', version: '7' })
  const beat = apiPod({ resourceVersion: '8' }, { conditions: [{ lastProbeTime: 'now' }] })
  t.equal(gistOf(beat)?.digest, gistOf(apiPod())?.digest)
  const changes: Readonly<Record<string, Json>> = {
    'a label': apiPod({ labels: { app: 'db' } }),
    'no labels': apiPod({ labels: undefined }),
    'its end': apiPod({}, { phase: 'Failed' }),
    'an address': apiPod({}, { podIP: '10.1.0.8' }),
    'a second address': apiPod({}, { podIPs: [{ ip: '10.1.0.7' }, { ip: 'fd00::7' }] }),
    "the node's": apiPod({}, { hostIP: '192.0.2.1' }),
    'a node': { ...apiPod(), spec: { nodeName: 'b' } },
  }
  for (const [what, changed] of Object.entries(changes))
    t.not(gistOf(changed)?.digest, gistOf(apiPod())?.digest, what)
  t.end()
})

test('a pod is parsed wherever its gist is not sure', (t) => {
  const { uid: _, ...rest } = apiPod().metadata as Json
  const ownersFirst = { ownerReferences: [{ name: 'api', uid: 'u-owner' }], ...rest, uid: 'u-1' }
  const odd: Readonly<Record<string, string>> = {
    'an order in which the first uid is its owner’s': eventOf({
      ...apiPod(),
      metadata: ownersFirst,
    }),
    'an escape': eventOf(apiPod()).replace('"shop"', '"sh\\u006fp"'),
    'labels within a volume claim': eventOf({
      ...apiPod(),
      spec: { volumes: [{ ephemeral: { volumeClaimTemplate: { metadata: { labels: {} } } } }] },
    }),
  }
  for (const [what, text] of Object.entries(odd)) t.equal(podGist(text), undefined, what)
  t.end()
})

const ciliumPolicy = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name: 'one', namespace: 'shop' },
  spec: { endpointSelector: {}, ingress: [{ fromEntities: ['cluster'] }] },
}

test('a cluster without CiliumNetworkPolicy has none, and is asked again after minutes', (t) => {
  const slept: number[] = []
  let isServed = false
  let wake = (): void => undefined
  const time = {
    ...systemTime,
    random: () => 0.5,
    sleep: (ms: number) => {
      slept.push(ms)
      return new Promise<void>((resolve) => {
        wake = resolve
      })
    },
  }
  return withFeed(
    feedCiliumPolicies,
    async (server, told, feed) => {
      server.onRequest = () => {
        if (!isServed) server.faults.refusals.push({ status: 404, reason: 'NotFound' })
      }
      feed.start()
      await told.until(() => told.kinds.length === 1)
      t.same(told.kinds, ['all'])
      t.same(slept, [180_000])
      t.equal(feed.status().lastError, undefined, 'that is no failure')
      isServed = true
      server.store.put('cilium.io/ciliumnetworkpolicies', ciliumPolicy)
      wake()
      await told.until(() => told.view.has('shop/one'))
      t.match(told.view.get('shop/one'), { problems: [], uid: /^uid-/ })
    },
    { time, patience: { ...hastyPatience, watchIdleMs: 10_000 } },
  )
})

test('policies that were there outlive a server that does not know them for a moment', (t) =>
  withFeed(feedCiliumPolicies, async (server, told, feed) => {
    server.store.put('cilium.io/ciliumnetworkpolicies', ciliumPolicy)
    feed.start()
    await told.until(() => told.view.size === 1 && feed.status().connected)
    for (let times = 0; times < 3; times++)
      server.faults.refusals.push({ status: 404, reason: 'NotFound' })
    server.compact()
    const lists = feed.status().lists
    server.endWatches()
    server.store.put('cilium.io/ciliumnetworkpolicies', {
      ...ciliumPolicy,
      spec: { endpointSelector: {}, egress: [{ toEntities: ['world'] }] },
    })
    await told.until(() => feed.status().lists > lists || told.kinds.includes('changed'))
    t.notOk(told.sizes.includes(0))
    t.equal(told.view.size, 1)
    for (let times = 0; times < 4; times++)
      server.faults.refusals.push({ status: 404, reason: 'NotFound' })
    server.drop()
    await told.until(() => told.view.size === 0)
    t.pass('gone for good after some answers in a row')
  }))

test('a policy that is wrong is told with its problems', (t) =>
  withFeed(feedNetworkPolicies, async (server, told, feed) => {
    server.store.put('networking.k8s.io/networkpolicies', {
      metadata: { name: 'odd', namespace: 'shop' },
      spec: { podSelector: {}, policyTypes: ['Sideways'] },
    })
    feed.start()
    await told.until(() => told.view.size === 1)
    t.match(told.view.get('shop/odd'), { problems: [{ path: 'spec.policyTypes[0]' }] })
  }))
