import t, { type Test } from 'tap'
import type { Refusals } from '../../src/kernel/policy-socket.ts'
import type { Program } from '../../src/policy/program.ts'
import { uplink } from '../support/host.ts'
import type { Netns } from '../support/netns.ts'
import { reaches } from '../support/reach.ts'
import { asked, listen } from '../support/sockets.ts'
import { addressesOf, outside, type PolicedNode, withPolicedNode } from './policed-node.ts'
import { block, profile, program, spans, whole } from './programs.ts'

t.setTimeout(120_000)

const a = addressesOf('a')
const b = addressesOf('b')
const identities = { [a.v4]: 256, [a.v6]: 256, [b.v4]: 257, [b.v6]: 257 }

const open = (...addresses: readonly string[]) =>
  Object.fromEntries(addresses.map((address) => [address, {}]))

/** Pod a is closed both ways but for what is said; b is open. */
const isolated = (
  ingress: Parameters<typeof profile>[1],
  egress: Parameters<typeof profile>[1] = {},
): Program =>
  program({
    identities,
    subjects: {
      ...open(b.v4, b.v6),
      [a.v4]: { ingress: 'in-a', egress: 'out-a' },
      [a.v6]: { ingress: 'in-a', egress: 'out-a' },
    },
    profiles: [profile('in-a', ingress), profile('out-a', egress)],
  })

type Asking = {
  readonly from: Netns
  readonly to: string
  readonly port?: number
  readonly protocol?: 'tcp' | 'udp'
}

const answer = ({ from, to, port = 80, protocol = 'tcp' }: Asking): string | undefined =>
  asked(from, { protocol, address: to, port })

/** No answer, and the count of who refused it has grown: nobody waits for a silence alone. */
function isRefused(
  t: Test,
  node: PolicedNode,
  { of, by, why, ...asking }: Asking & { of: Program; by: Partial<Refusals>; why: string },
): void {
  const isBy = ({ action, direction }: Refusals): boolean =>
    (by.action ?? 'deny') === action && (by.direction ?? direction) === direction
  const before = node.count(of, isBy)
  t.equal(answer(asking), undefined, why)
  t.ok(node.count(of, isBy) > before, `${why}: counted`)
}

for (const family of ['v4', 'v6'] as const) {
  t.test(`P41: an address that has no verdict yet is closed, ${family}`, (t) =>
    withPolicedNode(async (node) => {
      const { pods, host, policies } = node
      const nobody = program({ identities, subjects: open(b.v4, b.v6) })
      node.load(nobody)
      const server = await listen(pods.a, { protocol: 'tcp', address: a[family], port: 80 })
      const other = await listen(pods.b, { protocol: 'tcp', address: b[family], port: 80 })
      try {
        const [closedTo, closedFrom] = (['ingress', 'egress'] as const).map((direction) => ({
          of: nobody,
          by: { action: 'closed', direction } as const,
        }))
        if (!closedTo || !closedFrom) throw new Error('Cannot happen')
        isRefused(t, node, { ...closedTo, from: pods.b, to: a[family], why: 'to it' })
        isRefused(t, node, { ...closedFrom, from: pods.a, to: b[family], why: 'from it' })
        const gateway = family === 'v4' ? '10.1.255.254' : 'fd00:1::ffff'
        const before = node.count(nobody)
        t.notOk(pods.a.exec(['ping', '-n', '-c', '1', '-W', '1', gateway]).code === 0)
        t.ok(node.count(nobody) > before, 'nor to its own node')
        t.ok(answer({ from: host.netns, to: a[family] }), 'P30: its own node reaches it')
        const known = program({ identities, subjects: open(b.v4, b.v6, a.v4, a.v6) })
        policies.change(nobody, known)
        t.ok(answer({ from: pods.b, to: a[family] }), 'known, and nothing isolates it (P10)')
        t.ok(answer({ from: pods.a, to: b[family] }))
      } finally {
        server.close()
        other.close()
      }
    }),
  )

  t.test(`P30: the own node reaches a closed pod by any address, ${family}`, (t) =>
    withPolicedNode(async (node) => {
      node.load(isolated({}))
      const { pods, host } = node
      const server = await listen(pods.a, { protocol: 'tcp', address: a[family], port: 80 })
      try {
        const first = family === 'v4' ? '10.1.255.254' : 'fd00:1::ffff'
        t.match(answer({ from: host.netns, to: a[family] }), new RegExp(`^${first} `))
        const second = uplink.node[family]
        host.netns.ip('route', 'replace', a[family], 'dev', 'veth-a', 'src', second)
        t.match(answer({ from: host.netns, to: a[family] }), new RegExp(`^${second} `))
        const by = { direction: 'ingress' } as const
        const of = isolated({})
        isRefused(t, node, { of, by, from: host.outside, to: a[family], why: 'P32: another node' })
      } finally {
        server.close()
      }
    }),
  )

  t.test(`P31: to its own node only what a policy says, ${family}`, (t) =>
    withPolicedNode(async (node) => {
      const of = isolated({}, { ownNode: spans('tcp 80') })
      node.load(of)
      const { pods, host } = node
      const address = uplink.node[family]
      const wanted = await listen(host.netns, { protocol: 'tcp', address, port: 80 })
      const other = await listen(host.netns, { protocol: 'tcp', address, port: 81 })
      try {
        t.ok(answer({ from: pods.a, to: address }))
        const by = { direction: 'egress' } as const
        isRefused(t, node, { of, by, from: pods.a, to: address, port: 81, why: 'another port' })
        t.ok(answer({ from: pods.b, to: address, port: 81 }), 'nothing isolates the other pod')
      } finally {
        wanted.close()
        other.close()
      }
    }),
  )

  t.test(`P23, P27, P28, P29: translated ports are judged on client and pod, ${family}`, (t) =>
    withPolicedNode(async (node) => {
      const { pods, host } = node
      const client = outside[family]
      const [table, ip] = family === 'v4' ? ['ip', 'ip'] : ['ip6', 'ip6']
      const to = family === 'v4' ? `${a.v4}:8080` : `[${a.v6}]:8080`
      node.nft(`table ${table} services {
        chain prerouting { type nat hook prerouting priority dstnat;
          ${ip} daddr ${uplink.node[family]} tcp dport 30080 dnat to ${to}
        }
        chain postrouting { type nat hook postrouting priority srcnat; ct status dnat masquerade; }
      }`)
      const server = await listen(pods.a, { protocol: 'tcp', address: a[family], port: 8080 })
      const asking = { from: host.outside, to: uplink.node[family], port: 30080 }
      try {
        const toClient = isolated({ blocks: [block(`${client}-${client}`, ...spans('tcp 8080'))] })
        node.load(toClient)
        const seen = answer(asking)
        t.ok(seen, 'the client is allowed')
        t.notMatch(seen, client, 'and masqueraded: the pod sees the node')
        const byNodePort = isolated({
          blocks: [block(`${client}-${client}`, ...spans('tcp 30080'))],
        })
        const by = { direction: 'ingress' } as const
        node.load(byNodePort)
        const why = 'P18: the port is the pod’s'
        isRefused(t, node, { ...asking, of: byNodePort, by, why })
        const wrong = uplink.node[family]
        const toNode = isolated({ blocks: [block(`${wrong}-${wrong}`)] })
        node.load(toNode)
        isRefused(t, node, { ...asking, of: toNode, by, why: 'the node’s address admits nobody' })
      } finally {
        server.close()
      }
    }),
  )

  t.test(`P34: a pod reaches itself through a Service, ${family}`, (t) =>
    withPolicedNode(async (node) => {
      const { pods } = node
      const [table, service, to] =
        family === 'v4'
          ? ['ip', '10.96.0.1', `${a.v4}:8080`]
          : ['ip6', 'fd00:96::1', `[${a.v6}]:8080`]
      node.nft(`table ${table} services {
        chain prerouting { type nat hook prerouting priority dstnat;
          ${table} daddr ${service} tcp dport 80 dnat to ${to}
        }
        chain postrouting { type nat hook postrouting priority srcnat; ct status dnat masquerade; }
      }`)
      node.load(isolated({}))
      const server = await listen(pods.a, { protocol: 'tcp', address: a[family], port: 8080 })
      try {
        t.ok(answer({ from: pods.a, to: service }))
        const by = { direction: 'ingress' } as const
        isRefused(t, node, { of: isolated({}), by, from: pods.b, to: service, why: 'b does not' })
      } finally {
        server.close()
      }
    }),
  )

  t.test(`packets that conntrack leaves alone are judged by themselves, ${family}`, (t) =>
    withPolicedNode(async (node) => {
      const { pods, host } = node
      // As a node's own DNS cache does: its packets have no connection, either way.
      node.nft(`table inet cache {
        chain prerouting { type filter hook prerouting priority raw; udp dport 53 notrack; }
        chain output { type filter hook output priority raw; udp sport 53 notrack; }
      }`)
      const address = uplink.node[family]
      const cache = await listen(host.netns, { protocol: 'udp', address, port: 53 })
      const inPod = await listen(pods.b, { protocol: 'udp', address: b[family], port: 53 })
      const asking = { from: pods.a, to: address, port: 53, protocol: 'udp' } as const
      try {
        node.load(isolated({}, { ownNode: spans('udp 53') }))
        t.ok(answer(asking), 'what its policy allows')
        const tcpAlone = isolated({}, { ownNode: spans('tcp 53') })
        node.load(tcpAlone)
        const by = { direction: 'egress' } as const
        isRefused(t, node, { ...asking, of: tcpAlone, by, why: 'and nothing else' })
        const toPod = { ...asking, to: b[family] }
        isRefused(t, node, { ...toPod, of: tcpAlone, by, why: 'nor to a pod' })
      } finally {
        cache.close()
        inPod.close()
      }
    }),
  )

  t.test(`P39: datagrams in fragments are judged as a whole, ${family}`, (t) =>
    withPolicedNode((node) => {
      const { pods } = node
      const large = (): boolean =>
        pods.b.exec(['ping', '-n', '-c', '1', '-W', '1', '-s', '4000', a[family]]).code === 0
      node.load(isolated({ identities: new Map([[257, whole]]) }))
      t.ok(large(), 'all of them, where the first one may pass')
      const of = isolated({ identities: new Map([[257, spans('tcp 80')]]) })
      node.load(of)
      const before = node.count(of)
      t.notOk(large(), 'none, where it may not')
      t.ok(node.count(of) > before, 'counted')
    }),
  )

  t.test(`P35: errors about an allowed connection come through, ${family}`, (t) =>
    withPolicedNode((node) => {
      const { pods } = node
      const of = isolated({}, { identities: new Map([[257, spans('udp 9')]]) })
      node.load(of)
      // As if the policies had changed since the packet that an error is about.
      node.nft('flush chain inet tulle-policy current')
      // Nobody listens: the other pod says so by ICMP, which no rule names.
      const script = `import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5); s.connect((sys.argv[1], 9)); s.send(b'x')
try: s.recv(9)
except ConnectionRefusedError: print('refused')
`
      t.equal(pods.a.exec(['python3', '-c', script, b[family]]).stdout.trim(), 'refused')
      const count = node.count(of)
      t.notOk(pods.a.exec(['ping', '-n', '-c', '1', '-W', '1', b[family]]).code === 0)
      t.ok(node.count(of) > count, 'P37: an echo is a connection of its own, and judged')
    }),
  )
}

t.test('P37: neighbour discovery goes on where everything is closed', (t) =>
  withPolicedNode((node) => {
    const { pods, host } = node
    node.load(program({}))
    host.netns.ip('-6', 'neigh', 'flush', 'all')
    pods.a.ip('-6', 'neigh', 'flush', 'all')
    t.ok(reaches(host.netns, a.v6), 'the node finds the pod')
    pods.a.ip('-6', 'neigh', 'flush', 'all')
    pods.a.exec(['ping', '-n', '-c', '1', '-W', '1', b.v6])
    const found = pods.a.ip('-6', 'neigh', 'show', 'fe80::1')
    t.match(found, /lladdr/, 'and the pod its gateway, though nothing of it passes')
  }),
)

t.test('what is only tried out is told of, and passes', (t) =>
  withPolicedNode(async (node) => {
    const { pods } = node
    const strict = profile('in-a', { blocks: [block(`${b.v4}-${b.v4}`, ...spans('tcp 443'))] })
    const { audit: _, ...tried } = strict
    const of = program({
      identities,
      subjects: { ...open(b.v4), [a.v4]: { ingress: 'in-a' } },
      profiles: [profile('in-a', { pods: whole }, { audit: tried })],
    })
    node.load(of)
    const server = await listen(pods.a, { protocol: 'tcp', address: a.v4, port: 80 })
    try {
      t.ok(answer({ from: pods.b, to: a.v4 }))
      t.strictSame(
        [node.count(of, ({ action }) => action === 'audit') > 0, node.count(of, isDeny)],
        [true, 0],
      )
    } finally {
      server.close()
    }
  }),
)
const isDeny = ({ action }: Refusals): boolean => action === 'deny'
