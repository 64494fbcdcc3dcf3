// Policies of the API in force: packaged agents and plugins in throw-away namespaces, real sockets.
import { test } from 'tap'
import { at } from '../../src/cluster/json-value.ts'
import { Flood } from '../support/flood.ts'
import type { Netns } from '../support/netns.ts'
import {
  isRefusedSoon,
  LiveConnection,
  networkPolicy,
  policyFolder,
  talks,
  talksSoon,
  withPolicedNode,
} from './policed-node.ts'
import { until } from './running-agent.ts'

const fromClients = networkPolicy('from-clients', {
  podSelector: { matchLabels: { app: 'api' } },
  ingress: [{ from: [{ podSelector: { matchLabels: { app: 'client' } } }] }],
})
const merge = (metadata: object) => ({ metadata })

test('a policy is in force, follows labels of pods and namespaces, and ends', (t) =>
  withPolicedNode(async (node) => {
    const api = await node.run({ name: 'api', labels: { app: 'api' } })
    const client = await node.run({ name: 'client', labels: { app: 'client' } })
    const other = await node.run({ name: 'other', labels: { app: 'other' } })
    const [address = '', address6 = ''] = api.addresses
    for (const to of [address, address6]) await talksSoon(other.netns, to)

    const { metadata } = await node.put(fromClients)
    for (const to of [address, address6]) {
      await isRefusedSoon(other.netns, to)
      t.ok(await talks(client.netns, to), 'what the policy allows')
    }
    t.ok(await talks(api.netns, client.addresses[0] ?? ''), 'egress is not isolated (P11)')
    t.ok(await talks(node.member.host.netns, address), 'its own node (P30)')

    await node.api.ask('PATCH', other.path, merge({ labels: { app: 'client' } }))
    await talksSoon(other.netns, address)
    await node.api.ask('PATCH', other.path, merge({ labels: { app: 'other' } }))
    await isRefusedSoon(other.netns, address)

    const inTeam = { namespaceSelector: { matchLabels: { team: 'x' } } }
    await node.put(
      networkPolicy('from-team', {
        podSelector: { matchLabels: { app: 'api' } },
        ingress: [{ from: [inTeam] }],
      }),
    )
    await node.settled()
    t.notOk(await talks(other.netns, address), 'nobody is of that team')
    await node.api.ask('PATCH', '/api/v1/namespaces/shop', merge({ labels: { team: 'x' } }))
    await talksSoon(other.netns, address)
    await node.api.ask('PATCH', '/api/v1/namespaces/shop', merge({ labels: { team: 'y' } }))
    await isRefusedSoon(other.netns, address)

    for (const name of ['from-team', 'from-clients'])
      await node.api.ask('DELETE', `${policyFolder(false)}/${name}`)
    await talksSoon(other.netns, address)

    const { policy } = await node.member.agent.status()
    t.match(policy, { policies: 0, pods: 3, localAddresses: 6, waiting: [] })
    t.ok(Number(policy?.revisions.NetworkPolicy) > Number(at(metadata, 'resourceVersion')))
    const told = await until('the revision on the Node', async () => {
      const found = at(await node.api.node('a'), 'metadata', 'annotations', annotation)
      return found === JSON.stringify(sorted(policy?.revisions ?? {})) ? found : undefined
    })
    t.match(told, /"NetworkPolicy":"\d+"/)
    const { body } = await node.member.agent.get('/metrics')
    t.match(body, /tulle_policy_convergence_seconds_count [1-9]/)
    t.match(body, /tulle_policy_revision\{kind="NetworkPolicy"\} \d+/)
  }))
const annotation = 'tulle.io/policy-revision'
const sorted = (object: object) => Object.fromEntries(Object.entries(object).sort())

test('what is refused is counted by its policy', (t) =>
  withPolicedNode(async (node) => {
    const api = await node.run({ name: 'api', labels: { app: 'api' } })
    const other = await node.run({ name: 'other' })
    await node.put(fromClients)
    await isRefusedSoon(other.netns, api.addresses[0] ?? '')
    const { policy } = await node.member.agent.status()
    const refused = policy?.refused.find(({ policies }) => policies.includes('shop/from-clients'))
    t.match(refused, { action: 'deny', direction: 'ingress' })
    t.ok((refused?.packets ?? 0) > 0)
    const { body } = await node.member.agent.get('/metrics')
    t.match(
      body,
      /tulle_policy_denied_packets_total\{policy="shop\/from-clients",direction="ingress"\} [1-9]/,
    )
  }))

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

/** Packets of the flood that the pod has seen. */
function countFlood(pod: Netns): () => number {
  const script =
    'table inet seen { chain input { type filter hook input priority 0; udp dport 4242 counter; } }'
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

const damages: Readonly<Record<string, string>> = {
  'the whole ruleset': 'flush ruleset',
  'the table': 'delete table inet tulle-policy',
  'all rules': 'flush table inet tulle-policy',
  'the verdicts': 'flush map inet tulle-policy ingress4',
  'who is who': 'flush map inet tulle-policy identity4',
}
test('what somebody takes from the policies is put back', (t) =>
  withPolicedNode(async (node) => {
    const api = await node.run({ name: 'api', labels: { app: 'api' } })
    const client = await node.run({ name: 'client', labels: { app: 'client' } })
    const other = await node.run({ name: 'other' })
    const [address = ''] = api.addresses
    await node.put(fromClients)
    await isRefusedSoon(other.netns, address)
    const { netns } = node.member.host
    for (const [what, script] of Object.entries(damages)) {
      const done = netns.exec(['nft', script])
      t.equal(done.code, 0, done.stderr)
      await isRefusedSoon(other.netns, address)
      await talksSoon(client.netns, address)
      t.pass(what)
    }
    const { drift } = await node.member.agent.status()
    t.ok((drift.byKind.policy ?? 0) > 0, JSON.stringify(drift))
  }))

test('a Cilium rule that Tulle does not do is told beside the policy, and allows nothing', (t) =>
  withPolicedNode(async (node) => {
    const api = await node.run({ name: 'api', labels: { app: 'api' } })
    const other = await node.run({ name: 'other' })
    await talksSoon(other.netns, api.addresses[0] ?? '')
    const toPorts = [{ ports: [{ port: '8080', protocol: 'TCP' }], rules: { http: [{}] } }]
    await node.put({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumNetworkPolicy',
      metadata: { name: 'l7', namespace: 'shop' },
      spec: { endpointSelector: { matchLabels: { app: 'api' } }, ingress: [{ toPorts }] },
    })
    await isRefusedSoon(other.netns, api.addresses[0] ?? '')
    const finding = await until('the finding', async () =>
      (await node.member.agent.status()).findings.find(({ check }) => check === 'policy-refused'),
    )
    t.match(finding, { subject: 'CiliumNetworkPolicy shop/l7', object: { name: 'l7' } })
    const event = await until('the Event', async () => {
      const list = await node.api.ask('GET', '/apis/events.k8s.io/v1/namespaces/shop/events')
      return (list.items as readonly object[]).find((one) => at(one, 'regarding', 'name') === 'l7')
    })
    t.match(event, {
      reason: 'PolicyRefused',
      regarding: { kind: 'CiliumNetworkPolicy', namespace: 'shop', uid: /uid/ },
      note: /http/,
    })
    await node.api.ask('DELETE', `${policyFolder(true)}/l7`)
    await talksSoon(other.netns, api.addresses[0] ?? '')
    await until('nothing to be found', async () =>
      (await node.member.agent.status()).findings.every(({ check }) => check !== 'policy-refused'),
    )
  }))
