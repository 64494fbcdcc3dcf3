// Who has an address, and when: pods that end, begin early, and follow one another.
import { test } from 'tap'
import { fromClients, isRefusedSoon, talks, talksSoon, withPolicedNode } from './policed-node.ts'
import { until } from './running-agent.ts'

const merge = (metadata: object) => ({ metadata })

test('P43, P44: an ended pod is out at once, and its address is who has it now', (t) =>
  withPolicedNode(async (node) => {
    const api = await node.run({ name: 'api', labels: { app: 'api' } })
    const [address = ''] = api.addresses
    await node.put(fromClients)
    await node.settled()
    const far = node.cluster.get('b').host
    const status = { podIP: far.podAddress(4), podIPs: [{ ip: far.podAddress(4) }] }
    t.notOk(await talks(far.pod, address), 'an address of nobody')
    const first = { name: 'first', labels: { app: 'client' } }
    await node.tell(first, status)
    await talksSoon(far.pod, address)

    const path = '/api/v1/namespaces/shop/pods'
    await node.api.ask('PATCH', `${path}/first/status`, { status: { phase: 'Succeeded' } })
    await isRefusedSoon(far.pod, address)
    await node.tell({ name: 'second', labels: { app: 'client' } }, status)
    await talksSoon(far.pod, address)
    await node.api.ask('DELETE', `${path}/first`)
    await node.settled()
    t.ok(await talks(far.pod, address), 'the old owner goes later, and takes nothing with it')
    await node.api.ask('PATCH', `${path}/second`, merge({ labels: { app: 'other' } }))
    await isRefusedSoon(far.pod, address)
  }))

test("P43: a local address that goes from one pod to the next has the next one's policies", (t) =>
  withPolicedNode(async (node) => {
    const client = await node.run({ name: 'client', labels: { app: 'client' } })
    const open = await node.run({ name: 'open', address: '10.244.1.77' })
    await node.put(fromClients)
    await talksSoon(client.netns, '10.244.1.77')
    const other = await node.run({ name: 'other' })
    t.ok(await talks(other.netns, '10.244.1.77'))
    node.remove(open)
    // The old pod's object is still there: its end is told later.
    const api = await node.run({ name: 'api', labels: { app: 'api' }, address: '10.244.1.77' })
    t.notOk(await talks(other.netns, '10.244.1.77'), 'from the first packet')
    await talksSoon(client.netns, '10.244.1.77')
    await node.api.ask('DELETE', open.path)
    await node.settled()
    t.notOk(await talks(other.netns, '10.244.1.77'))
    t.ok(await talks(client.netns, '10.244.1.77'))
    await node.api.ask('DELETE', api.path)
    await node.settled()
    t.notOk(await talks(other.netns, '10.244.1.77'), 'Terminating: its record stands (P44)')
    t.ok(await talks(client.netns, '10.244.1.77'))
  }))

test('P41: a pod that the API has not told of is closed until it is', (t) =>
  withPolicedNode(async (node) => {
    const peer = await node.run({ name: 'peer' })
    const early = node.sandbox({ name: 'early' }, '', 0)
    const [address = ''] = early.addresses
    await until('the agent to know its record', async () => {
      const { policy } = await node.member.agent.status()
      return policy?.waiting.includes('shop/early')
    })
    t.notOk(await talks(peer.netns, address))
    t.notOk(await talks(early.netns, peer.addresses[0] ?? ''))
    const { policy } = await node.member.agent.status()
    const closed = policy?.refused.filter(({ action }) => action === 'closed') ?? []
    t.ok(closed.some(({ packets }) => packets > 0))
    await node.tell({ name: 'early' })
    await talksSoon(peer.netns, address)
    t.ok(await talks(early.netns, peer.addresses[0] ?? ''))
  }))

test('a pod that was there before policies were asked for is judged all the same', (t) =>
  withPolicedNode(async (node) => {
    const client = await node.run({ name: 'client', labels: { app: 'client' } })
    const other = await node.run({ name: 'other' })
    const api = await node.run({ name: 'api', labels: { app: 'api' }, isOlder: true })
    const [address = ''] = api.addresses
    await talksSoon(other.netns, address)
    await node.put(fromClients)
    // Nobody tells of its record: the agent comes across it when it looks for others.
    await node.run({ name: 'newcomer' })
    await isRefusedSoon(other.netns, address)
    t.ok(await talks(client.netns, address))
  }))
