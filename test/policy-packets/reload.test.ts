import { t, test } from 'tap'
import { until } from '../agent/running-agent.ts'
import { clusterOf, namespace, np, pod } from '../policy/objects.ts'
import type { FlowCount } from '../support/prober.ts'
import { Enforcer, nodeName } from './enforcer.ts'
import { withPodNet } from './pod-net.ts'

t.setTimeout(120_000)

// An agent that starts loads the whole table anew. While the kernel ends the old one, packets meet
// both: found under a flood on a real cluster, as one datagram of some flows in every tenth start.

const clients = Array.from({ length: 20 }, (_, at) => `shop/client-${at}`)
const addressesOf = (number: number): readonly string[] => [
  `10.1.0.${number}`,
  `fd00:1::${number.toString(16)}`,
]
/** Pods of other nodes: the larger the table, the longer the kernel takes to end it. */
const others = Array.from({ length: 3_000 }, (_, at) =>
  pod(`shop/other-${at}`, { ip: [`10.2.${at >> 8}.${at & 255}`], spec: { nodeName: 'n2' } }),
)
const cluster = clusterOf(
  namespace('shop'),
  ...['shop/server', ...clients].map((key, at) =>
    pod(key, { labels: { app: 'shop' }, ip: addressesOf(at + 1), spec: { nodeName } }),
  ),
  ...others,
  np('shop/all', {
    podSelector: { matchLabels: { app: 'shop' } },
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'shop' } } }] }],
    egress: [{ to: [{ podSelector: { matchLabels: { app: 'shop' } } }] }],
  }),
)

const reloads = 50

test('a table that is loaded anew under a flood: nothing is lost', (t) =>
  withPodNet(async (net) => {
    for (const [at, key] of ['shop/server', ...clients].entries())
      net.addPod(key, addressesOf(at + 1), key === 'shop/server' ? [80] : [])
    const enforcer = new Enforcer(net.node)
    try {
      enforcer.enforce(cluster)
      for (const [at, from] of clients.entries()) {
        const address = net.address('shop/server', at % 2 ? 4 : 6)
        const probe = { from, protocol: at % 4 < 2 ? 'TCP' : 'UDP', port: 80, address } as const
        await net.prober.flow(probe, { intervalMilliseconds: 1 })
      }
      for (let round = 1; round <= reloads; round++) {
        enforcer.load(cluster)
        const sentBefore = least(await net.prober.flows())
        await until('messages of each client', async () => {
          const flows = await net.prober.flows()
          return least(flows) >= sentBefore + 10 ? flows : undefined
        })
      }
      await net.prober.hushFlows()
      await new Promise((resolve) => setTimeout(resolve, 500))
      const flows = await net.prober.flows()
      const wrong = flows.filter(
        ({ sent, echoed, retransmits }) => sent !== echoed || retransmits > 0,
      )
      t.same(wrong, [], 'every message was answered, and none sent twice')
    } finally {
      enforcer.close()
    }
  }))

const least = (flows: readonly FlowCount[]): number => Math.min(...flows.map(({ sent }) => sent))
