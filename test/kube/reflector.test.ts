import { type Test, test } from 'tap'
import { at, textOf } from '../../src/cluster/json-value.ts'
import type { ReflectorOptions } from '../../src/kube/reflected.ts'
import { Reflector } from '../../src/kube/reflector.ts'
import { pods } from '../../src/kube/resource.ts'
import { nodeObject, podObject } from '../support/api-objects.ts'
import { ApiServer } from '../support/api-server.ts'
import { clientOf, hastyPatience, hastyTime, watched } from './reflected.ts'

async function served(t: Test, nodes = 3): Promise<ApiServer> {
  const server = new ApiServer()
  await server.listen()
  for (let index = 0; index < nodes; index++) server.store.put('/nodes', nodeObject(index))
  t.teardown(() => server.stop())
  return server
}

/** A reflector of the pods' addresses, and what it told, each as a line. */
function addresses(server: ApiServer, options: Partial<ReflectorOptions<string>> = {}) {
  const told: string[] = []
  let heard = (): void => undefined
  const reflector = new Reflector<string>({
    client: clientOf(server),
    resource: pods,
    select: (object) => textOf(at(object, 'status', 'podIP')),
    isSame: (left, right) => left === right,
    onNews: (news) => {
      if (news.kind === 'all') told.push(`all ${[...news.items.keys()].sort().join(' ')}`)
      else told.push(`${news.kind} ${news.key}`)
      heard()
    },
    time: hastyTime,
    patience: hastyPatience,
    ...options,
  })
  const until = (count: number): Promise<void> =>
    new Promise((resolve) => {
      heard = () => {
        if (told.length >= count) resolve()
      }
      heard()
    })
  return { told, reflector, until }
}

const lists = (server: ApiServer): readonly string[] =>
  server.requests.filter((line) => !line.includes('watch=true'))

test('a dropped watch goes on where it was: no new list, nothing told twice', async (t) => {
  const server = await served(t)
  const { believer, feed, settled } = watched(server)
  feed.start()
  await settled()
  for (let times = 0; times < 5; times++) {
    server.drop()
    server.store.put('/nodes', nodeObject(1, { podCIDRs: [`10.${times}.1.0/24`] }))
    server.store.put('/nodes', nodeObject(1, { podCIDRs: [`10.${times}.2.0/24`] }))
    await settled()
  }
  t.equal(lists(server).length, 1)
  t.equal(feed.status().lists, 1)
  t.same(believer.broken, [])
  await feed.stop()
})

test('a bookmark moves the version on: a quiet collection does not expire', async (t) => {
  const server = await served(t)
  server.bookmarkMs = 5
  const { believer, feed, settled } = watched(server)
  feed.start()
  await settled()
  while (!feed.status().connected) await new Promise((resolve) => setImmediate(resolve))
  const seen = server.requests.length
  server.store.skip() // the rest of the cluster is not quiet
  server.compact()
  const version = `resourceVersion=${server.store.revision}`
  while (!server.requests.slice(seen).some((line) => line.includes(version))) {
    server.endWatches() // with a last bookmark, as real ones do
    await new Promise((resolve) => setImmediate(resolve))
  }
  await settled()
  t.equal(lists(server).length, 1)
  t.same(believer.broken, [])
  await feed.stop()
})

for (const how of ['http', 'stream'] as const)
  test(`a version that is too old, told by ${how}, leads to one new list`, async (t) => {
    const server = await served(t)
    server.faults.goneAs = how
    const { believer, feed, settled, problems } = watched(server)
    feed.start()
    await settled()
    await server.stop()
    server.store.delete('/nodes', 'node-1')
    server.store.put('/nodes', nodeObject(7))
    server.compact()
    await server.listen()
    await settled()
    t.equal(feed.status().lists, 2)
    t.notOk(believer.view.has('node-1'))
    t.ok(problems.some((line) => line.includes('410 Expired')))
    t.same(believer.broken, [])
    await feed.stop()
  })

test('so does a version that this server never had: a restored backup', async (t) => {
  const server = await served(t)
  const { believer, feed, settled } = watched(server)
  feed.start()
  await settled()
  server.faults.refusals.push({ status: 504, reason: 'Timeout' })
  server.drop()
  await settled()
  t.equal(feed.status().lists, 2)
  t.same(believer.broken, [])
  await feed.stop()
})

test('a list comes in pages, and is told when it is complete', async (t) => {
  const server = await served(t, 1201)
  const { believer, feed } = watched(server)
  feed.start()
  await believer.until(() => believer.view.size === 1201)
  t.same(believer.kinds, ['all'])
  t.equal(lists(server).length, 3)
  await feed.stop()
})

test('pages that expire half-way are no list; in the end it is asked for in one', async (t) => {
  const server = await served(t, 1201)
  const { believer, feed } = watched(server)
  const { store } = server
  // History is thrown away after every page.
  const compacting = setInterval(() => server.compact(), 0)
  t.teardown(() => clearInterval(compacting))
  server.faults.slowMs = 5
  feed.start()
  await believer.until(() => believer.view.size === 1201)
  t.equal(believer.kinds[0], 'all')
  t.match(lists(server).at(-1) ?? '', /nodes$/)
  t.equal(store.list('/nodes').length, 1201)
  await feed.stop()
})

test('a server that falls silent is noticed, and what it said before stays', async (t) => {
  const server = await served(t)
  const { believer, feed, settled, problems } = watched(server)
  feed.start()
  await settled()
  server.hang()
  const failed = feed.status().errors
  while (feed.status().errors < failed + 3) await new Promise((resolve) => setTimeout(resolve, 10))
  t.equal(feed.status().connected, false)
  t.match(problems.at(-1) ?? '', /not a byte for 0.08 s/)
  t.equal(feed.status().lastError, problems.at(-1))
  t.equal(believer.view.size, 4)
  server.recover()
  await settled()
  t.equal(feed.status().connected, true)
  t.equal(feed.status().lastError, undefined)
  await feed.stop()
})

test('no server: it waits longer and longer, half a minute at most, for ever', async (t) => {
  const waits: number[] = []
  const { reflector } = addresses({ url: 'http://127.0.0.1:1' } as ApiServer, {
    time: {
      ...hastyTime,
      random: () => 1,
      sleep: async (ms) => {
        waits.push(ms)
        if (waits.length === 10) void reflector.stop()
      },
    },
  })
  reflector.start()
  await new Promise<void>((resolve) => {
    const look = (): void => void (waits.length < 10 ? setImmediate(look) : resolve())
    look()
  })
  t.same(waits, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000])
  t.match(reflector.status(), { connected: false, lists: 0, errors: 10, lastContactMs: undefined })
})

test('that a version is too old ends the waiting of a server that was away', async (t) => {
  const server = await served(t)
  const waits: number[] = []
  const { reflector, until } = addresses(server, {
    time: {
      ...hastyTime,
      random: () => 1,
      sleep: async (ms) => void waits.push(ms),
    },
  })
  server.store.put('/pods', podObject(0))
  reflector.start()
  await until(1)
  await server.stop()
  while (waits.length < 8) await new Promise((resolve) => setTimeout(resolve, 1))
  server.store.put('/pods', podObject(1))
  server.compact()
  await server.listen()
  await until(2)
  t.ok(Math.max(...waits) > 10_000, 'it had come to wait long')
  t.equal(waits.at(-1), 200, 'before the new list it waits as after a first failure')
  await reflector.stop()
})

test('that all is well is told once: at first, and after problems', async (t) => {
  const server = await served(t)
  const words: string[] = []
  const { reflector, until } = addresses(server, {
    onProblem: () => words.push('problem'),
    onWell: () => words.push('well'),
  })
  reflector.start()
  await until(1)
  server.store.put('/pods', podObject(0))
  await until(2)
  t.same(words, ['well'])
  await server.stop()
  while (words.length < 3) await new Promise((resolve) => setTimeout(resolve, 1))
  await server.listen()
  while (words.at(-1) !== 'well') await new Promise((resolve) => setTimeout(resolve, 1))
  t.same(reflector.status().lastError, undefined, 'without news of any object')
  t.equal(words.filter((word) => word === 'well').length, 2)
  await reflector.stop()
})

test('a server that asks for patience gets it', async (t) => {
  const server = await served(t)
  const refusal = { status: 429, reason: 'TooManyRequests', retryAfterSeconds: 7 }
  server.faults.refusals.push(refusal, { ...refusal, retryAfterSeconds: 3600 })
  const waits: number[] = []
  const { reflector, until } = addresses(server, {
    time: { ...hastyTime, random: () => 0, sleep: async (ms) => void waits.push(ms) },
  })
  reflector.start()
  await until(1)
  t.same(waits, [7000, 60_000])
  await reflector.stop()
})

test('it stops at once, whatever it is doing, and says no more', async (t) => {
  const server = await served(t)
  const { believer, feed, settled } = watched(server)
  feed.start()
  await settled()
  await feed.stop()
  const told = believer.kinds.length
  server.store.put('/nodes', nodeObject(9))
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(believer.kinds.length, told)
  await feed.stop()

  server.hang()
  const silent = watched(server).feed
  silent.start()
  await silent.stop()

  const waiting = addresses({ url: 'http://127.0.0.1:1' } as ApiServer, {
    time: { ...hastyTime, random: () => 1, sleep: (_, signal) => hastyTime.sleep(1e9, signal) },
  }).reflector
  waiting.start()
  await waiting.stop()
})

test('a listener that stops it hears no more, whatever is on its way', async (t) => {
  const server = await served(t)
  server.store.put('/pods', podObject(0))
  const told: string[] = []
  const { reflector } = addresses(server, {
    onNews: ({ kind }) => {
      told.push(kind)
      if (kind === 'changed') void reflector.stop()
      if (kind !== 'all') return
      server.drop() // what comes next comes in one piece
      for (let index = 1; index < 9; index++) server.store.put('/pods', podObject(index))
    },
  })
  reflector.start()
  while (told.length < 2) await new Promise((resolve) => setImmediate(resolve))
  await reflector.stop()
  t.same(told, ['all', 'changed'])
})

for (const how of ['ends every watch at once', 'finds every version too old'] as const)
  test(`a server that ${how} is not asked in a hot loop`, async (t) => {
    const server = await served(t)
    const waits: number[] = []
    const { reflector } = addresses(server, {
      time: {
        ...hastyTime,
        random: () => 0.5,
        nowMs: () => 0, // nothing lasts
        sleep: async (ms) => void waits.push(ms),
      },
    })
    if (how === 'finds every version too old') {
      // The version that a list has told is gone when it is watched from.
      server.onRequest = () => {
        server.store.skip()
        server.compact()
      }
    } else server.onRequest = () => setImmediate(() => server.endWatches())
    reflector.start()
    while (waits.length < 6) await new Promise((resolve) => setImmediate(resolve))
    t.same(waits.slice(0, 6), [100, 200, 400, 800, 1600, 3200])
    await reflector.stop()
  })

test('a listener that fails gets everything once more', async (t) => {
  const server = await served(t)
  server.store.put('/pods', podObject(1))
  let failures = 2
  const told: string[] = []
  const { reflector } = addresses(server, {
    onNews: ({ kind }) => {
      if (kind === 'changed' && failures-- > 0) throw new Error('of the listener')
      told.push(kind)
    },
    onProblem: () => {
      throw new Error('of the log')
    },
  })
  reflector.start()
  const until = async (count: number): Promise<void> => {
    while (told.length < count) await new Promise((resolve) => setImmediate(resolve))
  }
  await until(1)
  server.store.put('/pods', podObject(2))
  await until(2)
  t.same(told, ['all', 'all'])
  await reflector.stop()
})

test('objects of no interest are not kept; one that becomes so is gone', async (t) => {
  const server = await served(t)
  server.store.put('/pods', podObject(1))
  server.store.put('/pods', { ...podObject(2), status: {} })
  const { told, reflector, until } = addresses(server)
  reflector.start()
  await until(1)
  server.store.put('/pods', { ...podObject(1), status: {} })
  server.store.put('/pods', podObject(2))
  await until(3)
  t.same(told, ['all space-1/pod-1', 'gone space-1/pod-1', 'changed space-2/pod-2'])
  t.equal(reflector.status().objects, 1)
  await reflector.stop()
})

test('a field selector chooses; leaving the selection is being gone', async (t) => {
  const server = await served(t)
  for (let index = 0; index < 30; index++) server.store.put('/pods', podObject(index))
  const selection = { fieldSelector: 'spec.nodeName=node-3' }
  const { told, reflector, until } = addresses(server, { selection })
  reflector.start()
  await until(1)
  server.store.put('/pods', podObject(3, { nodes: 2 }))
  server.store.put('/pods', podObject(34, { nodes: 31 }))
  server.store.put('/pods', podObject(5))
  await until(3)
  t.same(told, [
    'all space-2/pod-23 space-3/pod-3 space-6/pod-13',
    'gone space-3/pod-3',
    'changed space-6/pod-34',
  ])
  await reflector.stop()
})

test('pods of one namespace', async (t) => {
  const server = await served(t)
  for (let index = 0; index < 14; index++) server.store.put('/pods', podObject(index))
  const { told, reflector, until } = addresses(server, { selection: { namespace: 'space-3' } })
  reflector.start()
  await until(1)
  t.same(told, ['all space-3/pod-10 space-3/pod-3'])
  await reflector.stop()
})

test('what is wrong in a Node is told when it changes, and its routes stay', async (t) => {
  const server = await served(t, 0)
  const wrong = nodeObject(1, { podCIDRs: ['10.0.1.0/24', 'none'] })
  server.store.put('/nodes', wrong)
  const told: (readonly [string, readonly string[]])[] = []
  const { feed, settled, believer } = watched(server, {
    onNodeProblems: (name, problems) => told.push([name, problems]),
  })
  feed.start()
  await settled()
  t.equal(believer.view.get('node-1')?.podCIDRs.length, 1)
  server.store.put('/nodes', { ...wrong, status: { ...(wrong.status as object), images: [] } })
  server.store.put('/nodes', nodeObject(1))
  await settled()
  t.same(told, [
    ['node-1', ['its podCIDR is "none", not a prefix']],
    ['node-1', []],
  ])
  await feed.stop()
})
