import t from 'tap'
import { formatAddress, parseAddress } from '../../src/base/address.ts'
import { parsePrefix } from '../../src/base/prefix.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'
import type { Self } from '../../src/overlay/fabric.ts'
import { peerOf, selfEnds } from '../../src/overlay/probe-view.ts'

const address = (text: string) => parseAddress(text)!
const prefix = (text: string) => parsePrefix(text)!

const self: Self = {
  name: 'a',
  podCIDRs: [prefix('10.244.1.0/24'), prefix('fd00:1::/64')],
  underlay: { 4: { address: address('10.0.0.1'), link: 'eth0', mtuBytes: 1500, onLink: [] } },
}
const node: ClusterNode = {
  name: 'b',
  addresses: ['10.0.0.2', '2001:db8::2'].map(address),
  podCIDRs: ['10.244.2.0/24', 'fd00:2::/64'].map(prefix),
}
const ways = node.podCIDRs.map((podCIDR) => ({ podCIDR, mode: 'vxlan' as const, over: 4 as const }))
const words = (ends: readonly { path: string; address: Parameters<typeof formatAddress>[0] }[]) =>
  ends.map((end) => `${end.path} ${formatAddress(end.address)}`)

t.test('our ends: node addresses, and the first of each podCIDR', async (t) =>
  t.same(words(selfEnds(self)), ['node-4 10.0.0.1', 'pods-4 10.244.1.0', 'pods-6 fd00:1::']),
)

t.test('a peer’s ends are those that we have too', async (t) => {
  const peer = peerOf(node, { self, ways, podMtuBytes: 1450 })
  t.same(words(peer.ends), ['node-4 10.0.0.2', 'pods-4 10.244.2.0', 'pods-6 fd00:2::'])
  t.same(
    peer.ends.map(({ mtuBytes }) => mtuBytes),
    [1500, 1450, 1450],
  )
  t.match(peer.ends[2]?.pods, { mode: 'vxlan', over: 4 })
  const single = { ...self, podCIDRs: [prefix('10.244.1.0/24')] }
  t.same(words(peerOf(node, { self: single, ways, podMtuBytes: 1450 }).ends), [
    'node-4 10.0.0.2',
    'pods-4 10.244.2.0',
  ])
})

t.test('a podCIDR of one address has none for the tunnel', async (t) =>
  t.same(words(selfEnds({ ...self, podCIDRs: [prefix('10.244.1.1/32')] })), ['node-4 10.0.0.1']),
)
