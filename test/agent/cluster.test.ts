import { test } from 'tap'
import { three, withCluster } from './cluster.ts'

test('pods of three nodes reach each other, near ones directly, the far one in a tunnel', (t) =>
  withCluster(three, async (cluster) => {
    await cluster.allReach()
    const { peers, self, source } = await cluster.get('a').agent.status()
    t.same(
      peers.map(({ name, ways }) => [name, ...ways.map(({ mode, over }) => `${mode} ${over}`)]),
      [
        ['b', 'direct 4', 'direct 6'],
        ['c', 'vxlan 4', 'vxlan 6'],
      ],
    )
    t.match(source, { kind: 'nodes-file', connected: true, using: 'live' })
    t.match(self, { podCIDRs: ['10.244.1.0/24', 'fd10:1::/64'], podMtuBytes: 1430 })
  }))
