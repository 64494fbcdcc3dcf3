import { test } from 'tap'
import { until } from '../agent/running-agent.ts'
import { withPodNet } from './pod-net.ts'

const kinds = (['TCP', 'UDP'] as const).flatMap((protocol) =>
  (['client', 'server'] as const).map((by) => ({ protocol, by })),
)

test('flows live, by either end, and are counted', (t) =>
  withPodNet(async (net) => {
    net.addPod('x/a', ['192.168.1.1', 'fd00:1::1'], [80])
    net.addPod('x/b', ['192.168.1.2', 'fd00:1::2'], [80])
    for (const { protocol, by } of kinds)
      for (const family of [4, 6] as const) {
        const to = { from: 'x/a', address: net.address('x/b', family), protocol, port: 80 }
        await net.prober.flow(to, { intervalMilliseconds: 2, by })
      }
    const flows = await until('20 messages each', async () => {
      const counts = await net.prober.flows()
      return counts.every(({ echoed }) => echoed >= 20) ? counts : undefined
    })
    t.equal(flows.length, 8)
    for (const [at, { served, echoed, retransmits }] of flows.entries()) {
      t.ok(served - echoed <= 3, `flow ${at}: ${served} served, ${echoed} came back`)
      t.equal(retransmits, 0)
    }
    await net.prober.stopFlows()
    t.same(await net.prober.flows(), [])
  }))

test('who tries before there is a network sends as soon as there is one', (t) =>
  withPodNet(async (net) => {
    const [late, server] = [net.addPod('x/a', [], []), net.addPod('x/b', ['192.168.1.2'], [80])]
    await net.prober.race('x/a', 80, '192.168.1.2', ['192.168.1.2'])
    net.wire(late, ['192.168.1.1'])
    const count = () =>
      Number(
        /UdpInDatagrams +(\d+)/.exec(
          server.netns.exec(['nstat', '-asz', 'UdpInDatagrams']).stdout,
        )?.[1],
      )
    await until('a datagram', () => count() > 0)
    const end = await net.prober.endRace('x/a')
    t.ok(end.tries > 1, 'it tried in vain')
    t.ok(end.sent > 0)
    // the first one of all may have met half a network
    const isConnected = await until('a connection', async () => {
      await net.prober.race('x/a', 80, '192.168.1.2', ['192.168.1.2'])
      return (await net.prober.endRace('x/a')).isConnected
    })
    t.equal(isConnected, true)
  }))
