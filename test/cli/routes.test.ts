import t from 'tap'
import { type Host, withHost } from '../support/host.ts'
import type { Ran } from '../support/netns.ts'
import { type Asked, healthy, peer, toolBeside } from './agent-stub.ts'

t.setTimeout(120_000)

const mac = '02:74:c0:00:02:02'

/** A tunnel to one node and a plain route to another, made by iproute2. */
function weave({ netns }: Host): void {
  const vxlan = ['type', 'vxlan', 'id', '1', 'dstport', '8472', 'local', '192.0.2.1', 'nolearning']
  netns.ip('link', 'add', 'tulle.1', ...vxlan)
  netns.ip('link', 'set', 'tulle.1', 'up')
  const neighbour = ['lladdr', mac, 'dev', 'tulle.1', 'nud', 'permanent']
  netns.ip('neigh', 'add', '10.244.2.0', ...neighbour)
  const fdb = ['fdb', 'append', mac, 'dev', 'tulle.1', 'dst', '192.0.2.2', 'self', 'permanent']
  netns.exec(['bridge', ...fdb])
  const way = ['via', '10.244.2.0', 'dev', 'tulle.1', 'onlink', 'proto', '116']
  netns.ip('route', 'add', '10.244.2.0/24', ...way)
  netns.ip('route', 'add', '10.244.3.0/24', 'via', '192.0.2.2', 'proto', '116')
  netns.ip('route', 'add', '10.9.0.0/24', 'via', '192.0.2.2')
}

const peers = [
  peer(2, { ways: [{ podCIDR: '10.244.2.0/24', mode: 'vxlan', over: 4 }] }),
  peer(3, { ways: [{ podCIDR: '10.244.3.0/24', mode: 'direct', over: 4 }] }),
]

const routes = (host: Host, says?: Asked['says'], ...words: readonly string[]): Promise<Ran> =>
  toolBeside({
    words: ['routes', ...words],
    folder: host.directory,
    node: host.netns,
    ...(says === undefined ? {} : { says }),
  })

t.test('what the kernel holds, with neighbour and forwarding entry; others’ routes are not', (t) =>
  withHost(async (host) => {
    weave(host)
    const { code, stdout } = await routes(host)
    t.equal(code, 0)
    t.match(stdout, /^DESTINATION +NODE +MODE +VIA +DEVICE +MAC +REMOTE +STATE$/m)
    t.match(stdout, /^10\.244\.2\.0\/24 +- +vxlan +10\.244\.2\.0 +tulle\.1 /m)
    t.match(stdout, / 02:74:c0:00:02:02 +192\.0\.2\.2 +ok$/m)
    t.match(stdout, /^10\.244\.3\.0\/24 +- +direct +192\.0\.2\.2 +up0 +- +- +ok$/m)
    t.notMatch(stdout, '10.9.0.0')
    t.match(stdout, /No agent answers .* nobody tells what is wanted/)
  }),
)

t.test('with an agent: nodes by name, and what differs from what it wants', (t) =>
  withHost(async (host) => {
    weave(host)
    const well = await routes(host, { ...healthy, peers })
    t.equal(well.code, 0)
    t.match(well.stdout, /^10\.244\.2\.0\/24 +node-2 +vxlan .* ok$/m)
    const moved = [
      peer(2, { ways: [{ podCIDR: '10.244.2.0/24', mode: 'direct', over: 4 }] }),
      peer(7, { ways: [{ podCIDR: '10.244.7.0/24', mode: 'vxlan', over: 4 }] }),
    ]
    const { code, stdout } = await routes(host, { ...healthy, peers: moved })
    t.equal(code, 1)
    t.match(stdout, /^10\.244\.2\.0\/24 +node-2 +vxlan .* wanted direct$/m)
    t.match(stdout, /^10\.244\.3\.0\/24 +- .* not wanted$/m)
    t.match(stdout, /^10\.244\.7\.0\/24 +node-7 +vxlan +- +- +- +- +missing$/m)
    const json = JSON.parse((await routes(host, { ...healthy, peers: moved }, '--json')).stdout)
    t.equal(json.isCompared, true)
    t.match(json.routes[0], { destination: '10.244.2.0/24', mac, state: 'wanted direct' })
  }),
)

for (const { why, spoil, says } of [
  {
    why: 'no neighbour entry',
    spoil: ({ netns }: Host) => netns.ip('neigh', 'flush', 'dev', 'tulle.1', 'nud', 'permanent'),
    says: /^10\.244\.2\.0\/24 .* no neighbour entry for its gateway$/m,
  },
  {
    why: 'no forwarding entry',
    spoil: ({ netns }: Host) =>
      netns.exec(['bridge', 'fdb', 'del', mac, 'dev', 'tulle.1', 'dst', '192.0.2.2', 'self']),
    says: /^10\.244\.2\.0\/24 .* no forwarding entry for its MAC$/m,
  },
])
  t.test(`a route that leads nowhere: ${why}`, (t) =>
    withHost(async (host) => {
      weave(host)
      spoil(host)
      const { code, stdout } = await routes(host)
      t.equal(code, 1)
      t.match(stdout, says)
    }),
  )

t.test('entries that no route leads by', (t) =>
  withHost(async (host) => {
    weave(host)
    host.netns.ip('route', 'del', '10.244.2.0/24')
    const { stdout } = await routes(host)
    t.match(stdout, `no route leads by these entries: 10.244.2.0 at ${mac}, ${mac} to 192.0.2.2`)
  }),
)

t.test('a node without routes to others', (t) =>
  withHost(async (host) => {
    const { code, stdout } = await routes(host)
    t.equal(code, 0)
    t.match(stdout, "no route to another node's pods")
  }),
)
