import { KubeConfig, type KubernetesObject, makeInformer } from '@kubernetes/client-node'
import { test } from 'tap'
import { nodeObject } from '../support/api-objects.ts'
import { ApiServer } from '../support/api-server.ts'
import { clientOf, watched } from './reflected.ts'

// The informer of Kubernetes' own client on the same server at the same time: an oracle for the
// reflector, and for the stand-in, which it must find to be an API server.

function configOf(server: ApiServer): KubeConfig {
  const config = new KubeConfig()
  config.loadFromOptions({
    clusters: [{ name: 'c', server: server.url, skipTLSVerify: true }],
    users: [{ name: 'u' }],
    contexts: [{ name: 'x', cluster: 'c', user: 'u' }],
    currentContext: 'x',
  })
  return config
}

/** Simple and repeatable: a linear congruential generator (Numerical Recipes' constants). */
function chanceOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

async function listOf(server: ApiServer, path: string) {
  const answer = (await clientOf(server).call({ method: 'GET', path })) as {
    items: KubernetesObject[]
    metadata: { resourceVersion: string }
  }
  return answer
}

test('after random changes and drops the informer has what the reflector has', async (t) => {
  const server = new ApiServer()
  await server.listen()
  const { believer, feed, settled } = watched(server)
  const path = '/api/v1/nodes'
  const informer = makeInformer(configOf(server), path, () => listOf(server, path) as never)
  // Its own rule: who sees an error starts it again.
  let isOver = false
  informer.on('error', () => {
    if (!isOver) informer.start().catch(() => undefined)
  })
  feed.start()
  await informer.start()
  const next = chanceOf(20260101)
  for (let step = 0; step < 300; step++) {
    const index = next(40)
    const what = next(20)
    if (what < 12) {
      const podCIDRs = [`10.${next(3)}.${index}.0/24`]
      server.store.put('/nodes', nodeObject(index, { podCIDRs }))
    } else if (what < 18) server.store.delete('/nodes', `node-${index}`)
    else if (what === 18) server.endWatches()
    else server.compact()
    if (step % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await settled()
  const known = (): readonly string[] =>
    informer
      .list()
      .map((one) => `${one.metadata?.name} ${one.metadata?.resourceVersion}`)
      .sort()
  const stored = server.store.list('/nodes')
  const want = stored.map(({ object, revision }) => `${object.metadata.name} ${revision}`).sort()
  const isSame = (): boolean => known().join() === want.join()
  await new Promise<void>((resolve) => {
    const look = (): void => void (isSame() && resolve())
    for (const verb of ['add', 'update', 'delete'] as const) informer.on(verb, look)
    look()
  })
  t.same(known(), want)
  t.same(
    [...believer.view.keys()].sort(),
    informer
      .list()
      .map((one) => one.metadata?.name)
      .sort(),
  )
  t.same(believer.broken, [])
  isOver = true
  await informer.stop()
  await feed.stop()
  await server.stop()
})
