// Policies in force while agents end and begin, and while they change.
import { test } from 'tap'
import { Flood } from '../support/flood.ts'
import type { Netns } from '../support/netns.ts'
import {
  fromClients,
  isRefusedSoon,
  LiveConnection,
  talks,
  withPolicedNode,
} from './policed-node.ts'
import { until } from './running-agent.ts'

const merge = (metadata: object) => ({ metadata })

/** Packets of the flood that the pod has seen. */
function countFlood(pod: Netns): () => number {
  const script = `table inet seen {
    chain input {
      type filter hook input priority 0
      udp dport 4242 counter
    }
  }`
  const made = pod.exec(['nft', '-f', '-'], { input: script })
  if (made.code !== 0) throw new Error(made.stderr)
  return () => {
    const { stdout } = pod.exec(['nft', 'list', 'table', 'inet', 'seen'])
    return Number(/packets (\d+)/.exec(stdout)?.[1] ?? Number.NaN)
  }
}

test('P48: an agent that is stopped, killed and started again leaks and cuts nothing', (t) =>
  withPolicedNode(async (node) => {
    const { agent } = node.member
    const api = await node.run({ name: 'api', labels: { app: 'api' } })
    const client = await node.run({ name: 'client', labels: { app: 'client' } })
    const other = await node.run({ name: 'other' })
    const [address = ''] = api.addresses
    await node.put(fromClients)
    await isRefusedSoon(other.netns, address)
    const seen = countFlood(api.netns)
    const live = new LiveConnection(client.netns, address)
    const flood = new Flood(other.netns, [address])
    try {
      await live.more(20)
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        await agent.end(signal)
        await flood.more(200)
        await live.more(20)
        await agent.start().ready()
        await node.settled()
        await flood.more(200)
        await live.more(20)
      }
      t.equal(seen(), 0, 'leaked packets')
      t.notOk(await talks(other.netns, address))
      t.ok(await talks(client.netns, address))
      const allowed = new Flood(client.netns, [address])
      await allowed.more(10)
      await until('the counter to count', () => seen() > 0)
      await allowed.close()
    } finally {
      live.close()
      await flood.close()
    }
  }))

test('P36: a live connection that a change forbids is cut, and another goes on', (t) =>
  withPolicedNode(async (node) => {
    const api = await node.run({ name: 'api', labels: { app: 'api' } })
    const client = await node.run({ name: 'client', labels: { app: 'client' } })
    const other = await node.run({ name: 'other', labels: { app: 'client' } })
    const [address = ''] = api.addresses
    await node.put(fromClients)
    await node.settled()
    const [kept, cut] = [client, other].map(({ netns }) => new LiveConnection(netns, address))
    try {
      await kept?.more(10)
      await cut?.more(10)
      await node.api.ask('PATCH', other.path, merge({ labels: { app: 'other' } }))
      await isRefusedSoon(other.netns, address)
      await node.settled()
      const before = cut?.exchanges
      await kept?.more(100)
      t.equal(cut?.exchanges, before)
    } finally {
      kept?.close()
      cut?.close()
    }
  }))
