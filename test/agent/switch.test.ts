import { test } from 'tap'
import type { Member } from './cluster.ts'
import { nodeOf, three, withCluster, withKubernetes } from './cluster.ts'
import { lostDuring } from './flood.ts'
import { until } from './running-agent.ts'

const near = three.filter(({ name }) => name !== 'c')

const modesOf = async ({ agent }: Member): Promise<string> => {
  const { peers } = await agent.status()
  return peers.flatMap(({ ways }) => ways.map(({ mode }) => mode)).join(' ')
}

test('a live peer goes from plain routes to the tunnel and back, and no packet is lost', (t) =>
  withCluster(near, async (cluster) => {
    await cluster.allReach()
    const [a, b] = [cluster.get('a'), cluster.get('b')]
    for (const [mode, want] of [
      ['vxlan', 'vxlan vxlan'],
      ['auto', 'direct direct'],
      ['vxlan', 'vxlan vxlan'],
    ] as const) {
      const lost = await lostDuring(a, b, async () => {
        cluster.tell(cluster.nodes.map((node) => ({ ...node, mode })))
        for (const member of [a, b])
          await until(`${mode} on both`, async () => (await modesOf(member)) === want)
      })
      t.equal(lost, 0, `to ${mode}`)
    }
    await cluster.allReach()
  }))

/** What flanneld makes of a node, with the annotations by which its peers know it. */
const flannelMac = '0e:11:11:11:11:03'
const annotations = {
  'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
  'flannel.alpha.coreos.com/backend-type': 'vxlan',
  'flannel.alpha.coreos.com/backend-data': JSON.stringify({ VNI: 1, VtepMAC: flannelMac }),
  'flannel.alpha.coreos.com/public-ip': '10.1.0.3',
}

test("a node that still runs Flannel and nodes of Tulle carry each other's pods", (t) =>
  withKubernetes(
    near,
    async (cluster, api) => {
      const wish = { name: 'f', addresses: ['10.1.0.3'], podCIDRs: ['10.244.3.0/24'] }
      const { host } = cluster.add({ ...wish, segment: 'far' })
      await api.put(nodeOf(wish), annotations)
      const told = await until("Tulle's annotations", async () => {
        const { metadata } = (await api.node('a')) as {
          metadata: { annotations?: Readonly<Record<string, string>> }
        }
        const data = metadata.annotations?.['flannel.alpha.coreos.com/backend-data']
        return data === undefined ? undefined : metadata.annotations
      })
      const { VtepMAC: mac = '' } = JSON.parse(
        told['flannel.alpha.coreos.com/backend-data'] ?? '{}',
      ) as { VtepMAC?: string }
      t.equal(told['flannel.alpha.coreos.com/public-ip'], '10.0.0.1')
      // As flanneld does by those annotations: device, neighbour, forwarding entry, route.
      const { netns } = host
      const words =
        `add flannel.1 address ${flannelMac} mtu 1450 type vxlan id 1 dev eth0 local 10.1.0.3 ` +
        'dstport 8472 nolearning'
      netns.ip('link', ...words.split(' '))
      netns.ip('addr', 'add', '10.244.3.0/32', 'dev', 'flannel.1')
      netns.ip('link', 'set', 'flannel.1', 'up')
      netns.ip('neigh', 'add', '10.244.1.0', 'lladdr', mac, 'nud', 'permanent', 'dev', 'flannel.1')
      netns.exec(['bridge', 'fdb', 'add', mac, 'dev', 'flannel.1', 'dst', '10.0.0.1'])
      netns.ip('route', 'add', '10.244.1.0/24', 'via', '10.244.1.0', 'dev', 'flannel.1', 'onlink')
      const a = cluster.get('a')
      await until('a reaches f', () => a.host.reaches(host, 4))
      await until('f reaches a', () => host.reaches(a.host, 4))
      const { peers } = await a.agent.status()
      t.match(peers, [
        { name: 'b', isFlannel: false, ways: [{ mode: 'direct' }, { mode: 'direct' }] },
        { name: 'f', isFlannel: true, ways: [{ mode: 'vxlan' }] },
      ])
    },
    ['--flannel-compat'],
  ))
