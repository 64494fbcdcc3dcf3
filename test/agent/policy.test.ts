// Policies of the API in force: packaged agents and plugins in throw-away namespaces, real sockets.
import { test } from 'tap'
import { at } from '../../src/cluster/json-value.ts'
import {
  fromClients,
  isRefusedSoon,
  networkPolicy,
  policyFolder,
  talks,
  talksSoon,
  withPolicedNode,
} from './policed-node.ts'
import { until } from './running-agent.ts'

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
const annotation = 'tulle.dev/policy-revision'
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
      note: /toPorts\[0\]\.rules/,
    })
    await node.api.ask('DELETE', `${policyFolder(true)}/l7`)
    await talksSoon(other.netns, api.addresses[0] ?? '')
    await until('nothing to be found', async () =>
      (await node.member.agent.status()).findings.every(({ check }) => check !== 'policy-refused'),
    )
  }))
