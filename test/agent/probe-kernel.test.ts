import t from 'tap'
import { type Nodes, tunnelPort, withNodes } from './probe-nodes.ts'

t.setTimeout(120_000)

// What is broken is broken in the router, for real; the self-test has to name it.

const tunnel = `udp dport ${tunnelPort}`
const fromA = 'ip saddr 10.1.0.2'
const fromB = 'ip saddr 10.2.0.2'
const podsOf = 'ip saddr 10.244.0.0/16'

for (const { what, mode, family, spoil, check, says } of [
  { what: 'nothing', spoil: () => undefined, check: undefined, says: undefined },
  {
    what: 'nothing, and the routes are plain',
    mode: 'direct' as const,
    spoil: () => undefined,
    check: undefined,
    says: undefined,
  },
  {
    what: 'nothing, and the underlay is IPv6',
    family: 6 as const,
    spoil: () => undefined,
    check: undefined,
    says: undefined,
  },
  {
    what: 'a router of IPv6 has a smaller link and is silent: it never cuts a packet',
    family: 6 as const,
    spoil: (nodes: Nodes) => nodes.shrink(1400),
    check: 'mtu-black-hole',
    says: /packets of 1430 bytes .* the largest that passes has 1330.* \(1400 bytes\)/,
  },
  {
    what: 'a firewall eats the tunnel’s port',
    spoil: (nodes: Nodes) => nodes.rule('forward', `${tunnel} drop`),
    check: 'tunnel-blocked',
    says: /UDP 8472/,
  },
  {
    what: 'a firewall eats it in one direction: ours are lost',
    spoil: (nodes: Nodes) => nodes.rule('forward', `${tunnel} ${fromA} drop`),
    check: 'one-way',
    says: /those of node-b reach us, ours do not reach it/,
  },
  {
    what: 'a firewall eats it in one direction: the answers are lost',
    spoil: (nodes: Nodes) => nodes.rule('forward', `${tunnel} ${fromB} drop`),
    check: 'one-way',
    says: /ours reach node-b, its own do not reach us/,
  },
  {
    what: 'a switch drops packets of more than 1400 bytes, silently',
    spoil: (nodes: Nodes) => nodes.rule('forward', 'meta length > 1400 drop'),
    check: 'mtu-black-hole',
    says: /packets of 1450 bytes .* the largest that passes has 1350/,
  },
  {
    what: 'it drops them in one direction only',
    spoil: (nodes: Nodes) => nodes.rule('forward', `${fromB} meta length > 1400 drop`),
    check: 'mtu-black-hole',
    says: /lost from node-b, small ones pass; the largest that passes has 1350/,
  },
  {
    what: 'a router’s link has an MTU of 1400, and its ICMP is dropped: tunnel packets in pieces',
    spoil: (nodes: Nodes) => nodes.shrink(1400),
    check: 'tunnel-fragmented',
    says: /those of 1400 do/,
  },
  {
    what: 'the same, and the routes are plain',
    mode: 'direct' as const,
    spoil: (nodes: Nodes) => nodes.shrink(1400),
    check: 'mtu-black-hole',
    says: /by the plain route are lost, .* the largest that passes has 1400/,
  },
  {
    what: 'the two ends of a link have different MTUs: a veth takes four bytes more, for a VLAN',
    spoil: (nodes: Nodes) => nodes.router.ip('link', 'set', 'b0', 'mtu', '1400'),
    check: 'mtu-black-hole',
    says: /lost from node-b, .* the largest that passes has 1354/,
  },
  {
    what: 'a cloud drops addresses that are no node’s',
    mode: 'direct' as const,
    spoil: (nodes: Nodes) => nodes.rule('forward', `${podsOf} drop`),
    check: 'pod-addresses-dropped',
    says: /source\/destination check/,
  },
  {
    what: 'a network card spoils the checksum of what leaves in the tunnel',
    spoil: (nodes: Nodes) => {
      nodes.calculateChecksums()
      nodes.rule('forward', `${tunnel} ${fromA} udp checksum set 0x1234`)
    },
    check: 'checksum-broken',
    says: /dropped for a wrong checksum.*ethtool -K/,
  },
  {
    what: 'the node’s link is down',
    spoil: (nodes: Nodes) => nodes.b.ip('link', 'set', 'up0', 'down'),
    check: 'node-unreachable',
    says: /answers nothing/,
  },
  {
    what: 'a firewall drops the test’s own port between node addresses',
    spoil: (nodes: Nodes) => nodes.rule('forward', 'udp dport 7476 drop'),
    check: 'probe-blocked',
    says: /UDP 7476/,
  },
  {
    what: 'every fifth packet of the tunnel is lost',
    spoil: (nodes: Nodes) => nodes.rule('forward', `${tunnel} numgen inc mod 5 == 0 drop`),
    check: 'lossy',
    says: /were lost/,
  },
]) {
  t.test(`${what}: ${check ?? 'all is well'}`, (t) =>
    withNodes(
      async (nodes, { a }) => {
        spoil(nodes)
        const { peer, status, diagnoses } = await a.round()
        t.equal(peer, 'node-b')
        t.same(
          diagnoses.map((one) => one.check),
          check === undefined ? [] : [check],
          JSON.stringify(diagnoses),
        )
        const text = JSON.stringify(diagnoses)
        if (says) t.match(text, says)
        const isError = diagnoses[0]?.severity === 'error'
        t.equal(status.state, isError ? 'failing' : 'ok')
        if (check === undefined) {
          t.equal(status.lossPercent, 0)
          t.ok((status.rttMs ?? 0) > 0, `round trip ${status.rttMs} ms`)
        }
      },
      { ...(mode ? { mode } : {}), ...(family ? { family } : {}) },
    ),
  )
}

t.test('a peer that has died, and is back', (t) =>
  withNodes(async (_, { a, b }) => {
    b.kill()
    const { diagnoses } = await a.round()
    t.same(
      diagnoses.map(({ check }) => check),
      ['node-unreachable'],
    )
    t.match(diagnoses[0]?.meaning, /no agent runs on it/)
  }),
)
