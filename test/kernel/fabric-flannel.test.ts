import { test } from 'tap'
import type { FlannelVtep } from '../../src/cluster/node.ts'
import { defaultOverlay } from '../../src/overlay/options.ts'
import { node } from '../overlay/values.ts'
import { batch, type TestNode, withUnderlay } from '../support/underlay.ts'
import { address } from '../wire/values.ts'

// A node as flanneld leaves it: its device hangs on the uplink, sends no outer checksum over IPv4,
// has an address of its network of pods alone, and each peer's neighbour, forwarding entry and
// onlink route, in this order.

const macs = { 4: '0e:11:11:11:11:03', 6: '0e:22:22:22:22:03' } as const

type Peer = Readonly<{
  pods4: string
  pods6: string
  mac4: string
  mac6: string
  v4: string
  v6: string
}>

function asFlannel({ netns }: TestNode, peers: readonly Peer[]): void {
  batch(netns, [
    `link add flannel.1 address ${macs[4]} mtu 1450 type vxlan id 1 dev eth0 local 10.1.0.3 ` +
      'dstport 8472 nolearning noudpcsum',
    'addr add 10.2.3.0/32 dev flannel.1',
    'link set flannel.1 up',
    `link add flannel-v6.1 address ${macs[6]} mtu 1430 type vxlan id 1 dev eth0 ` +
      'local fd00:1::3 dstport 8472 nolearning',
    'addr add fd01:3::/128 dev flannel-v6.1',
    'link set flannel-v6.1 up',
  ])
  for (const { pods4, pods6, mac4, mac6, v4, v6 } of peers) {
    const fdb = (mac: string, device: string, to: string) =>
      netns.exec(['bridge', 'fdb', 'add', mac, 'dev', device, 'dst', to, 'self', 'permanent'])
    const [first4 = '', first6 = ''] = [pods4, pods6].map((text) => text.split('/')[0])
    batch(netns, [`neigh add ${first4} lladdr ${mac4} nud permanent dev flannel.1`])
    fdb(mac4, 'flannel.1', v4)
    batch(netns, [
      `route add ${pods4} via ${first4} dev flannel.1 onlink`,
      `neigh add ${first6} lladdr ${mac6} nud permanent dev flannel-v6.1`,
    ])
    fdb(mac6, 'flannel-v6.1', v6)
    batch(netns, [`route add ${pods6} via ${first6} dev flannel-v6.1 onlink`])
  }
}

const vteps: readonly FlannelVtep[] = [
  { family: 4, address: address('10.1.0.3'), mac: macs[4], vni: 1 },
  { family: 6, address: address('fd00:1::3'), mac: macs[6], vni: 1 },
]

test("a node that runs Flannel and one of Tulle carry each other's pods", (t) =>
  withUnderlay((underlay) => {
    const a = underlay.add(node('a', '10.0.0.1 fd00:0::1', '10.1.1.0/24 fd01:1::/64'))
    const c = underlay.add(
      node('c', '10.1.0.3 fd00:1::3', '10.2.3.0/24 fd01:3::/64', { flannel: vteps }),
      'far',
    )
    t.strictSame(a.settle([a, c]).refusals, [])
    const macOf = (device: string): string =>
      `${a.netns.ipJson('link', 'show', 'dev', device)[0]?.address}`
    asFlannel(c, [
      {
        pods4: '10.1.1.0/24',
        pods6: 'fd01:1::/64',
        mac4: macOf('tulle.1'),
        mac6: macOf('tulle-v6.1'),
        v4: '10.0.0.1',
        v6: 'fd00:0::1',
      },
    ])
    for (const family of [4, 6] as const) {
      t.ok(a.reaches(c, family), `IPv${family} to the Flannel node`)
      t.ok(c.reaches(a, family), `IPv${family} from the Flannel node`)
      t.ok(a.reaches(c, family, 1300), `IPv${family}, a large packet`)
    }
    t.strictSame(a.settle([a, c]).changes, 0)
  }))

test('a Flannel node that got a new MAC and public address at once', (t) =>
  withUnderlay((underlay) => {
    const a = underlay.add(node('a', '10.0.0.1', '10.1.1.0/24'))
    const vtep = (mac: string, text: string): readonly FlannelVtep[] => [
      { family: 4, address: address(text), mac, vni: 1 },
    ]
    const c = underlay.add(node('c', '10.1.0.3', '10.2.3.0/24'), 'far')
    const fdb = (): readonly string[] =>
      a.netns.exec(['bridge', 'fdb', 'show', 'dev', 'tulle.1']).stdout.trim().split('\n')
    c.node = { ...c.node, flannel: vtep('0e:11:11:11:11:03', '10.1.0.3') }
    a.settle([a, c], defaultOverlay)
    t.strictSame(fdb(), ['0e:11:11:11:11:03 dst 10.1.0.3 self permanent'])
    c.node = { ...c.node, flannel: vtep('0e:11:11:11:11:03', '10.1.0.4') }
    a.settle([a, c])
    t.strictSame(fdb(), ['0e:11:11:11:11:03 dst 10.1.0.4 self permanent'])
    c.node = { ...c.node, flannel: vtep('0e:11:11:11:11:05', '10.1.0.5') }
    a.settle([a, c])
    t.strictSame(fdb(), ['0e:11:11:11:11:05 dst 10.1.0.5 self permanent'])
  }))
