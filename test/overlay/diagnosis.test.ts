import t from 'tap'
import {
  diagnose,
  lossPercent,
  type PathResult,
  type PeerResult,
  type PodsResult,
} from '../../src/overlay/diagnosis.ts'

const numbers = { vni: 1, port: 8472, probePort: 7476 }
const all = { sent: 3, answered: 3 }
const none = { sent: 3, answered: 0 }
const node: PathResult = { path: 'node-4', mtuBytes: 1500, small: all, full: all, rttMs: 0.3 }
const pods: PodsResult = { ...node, path: 'pods-4', mtuBytes: 1450, mode: 'vxlan', over: 4 }
const direct: PodsResult = { ...pods, mode: 'direct' }
const well: PeerResult = { peer: 'n2', node: [node], pods: [pods], checksumErrors: 0 }
const dead = { small: none, full: none }
const large = { full: none, largestBytes: 1350 }

for (const { why, result, want } of [
  { why: 'everything is answered', result: {}, want: [] },
  {
    why: 'nothing is answered',
    result: { node: [{ ...node, ...dead }], pods: [{ ...pods, ...dead }] },
    want: [{ check: 'node-unreachable', found: /neither on its node address, nor through the/ }],
  },
  {
    why: 'nothing is answered, checksums and all',
    result: {
      node: [{ ...node, ...dead }],
      pods: [{ ...pods, ...dead }],
      checksumErrors: 9,
    },
    want: [{ check: 'node-unreachable' }],
  },
  {
    why: 'nothing through the tunnel',
    result: { pods: [{ ...pods, ...dead, outward: false, inward: false }] },
    want: [{ check: 'tunnel-blocked', meaning: /eats UDP 8472/, remedy: /security groups/ }],
  },
  {
    why: 'nothing through the tunnel, and nobody can say in which direction',
    result: { pods: [{ ...pods, ...dead }] },
    want: [{ check: 'tunnel-blocked', remedy: /VMware NSX/ }],
  },
  {
    why: 'nothing from pods’ addresses by plain routes',
    result: { pods: [{ ...direct, ...dead, outward: false, inward: false }] },
    want: [{ check: 'pod-addresses-dropped', remedy: /source\/destination check/ }],
  },
  {
    why: 'ours arrive, its answers do not',
    result: { pods: [{ ...pods, ...dead, outward: true, inward: false }] },
    want: [{ check: 'one-way', found: /ours reach n2, its own do not reach us/ }],
  },
  {
    why: 'ours do not arrive',
    result: { pods: [{ ...pods, ...dead, outward: false, inward: true }] },
    want: [{ check: 'one-way', found: /those of n2 reach us, ours do not reach it/ }],
  },
  {
    why: 'dropped for a wrong checksum, which one direction alone may have',
    result: { pods: [{ ...pods, ...dead, outward: false, inward: true }], checksumErrors: 6 },
    want: [
      { check: 'checksum-broken', found: /6 datagrams/, remedy: /tx-checksum-ip-generic off/ },
    ],
  },
  {
    why: 'somebody else’s wrong checksums while all is answered',
    result: { checksumErrors: 6 },
    want: [],
  },
  {
    why: 'large packets are lost in the tunnel',
    result: { pods: [{ ...pods, ...large }], node: [{ ...node, full: none, largestBytes: 1400 }] },
    want: [
      {
        check: 'mtu-black-hole',
        found: /1450 bytes through the tunnel are lost, small ones pass; the largest .* 1350/,
        meaning: /\(1400 bytes\)/,
        remedy: /to 1350 or less/,
      },
    ],
  },
  {
    why: 'large packets are lost from the other side alone',
    result: { pods: [{ ...pods, ...large, outward: true, inward: false }] },
    want: [{ check: 'mtu-black-hole', found: /lost from n2,/ }],
  },
  {
    why: 'large packets are lost, and no size was found',
    result: { pods: [{ ...pods, full: none }] },
    want: [{ check: 'mtu-black-hole', remedy: /lower the MTU of the uplinks/ }],
  },
  {
    why: 'the tunnel’s large packets pass, plain ones of the same size do not',
    result: { node: [{ ...node, full: none, largestBytes: 1400 }] },
    want: [{ check: 'tunnel-fragmented', severity: 'warning', remedy: /MTU to 1350 or less/ }],
  },
  {
    why: 'plain routes need not carry more than pods send',
    result: { node: [{ ...node, full: none, largestBytes: 1480 }], pods: [direct] },
    want: [],
  },
  {
    why: 'pods’ packets pass, and node addresses do not answer',
    result: { node: [{ ...node, ...dead }] },
    want: [{ check: 'probe-blocked', severity: 'warning', remedy: /UDP 7476/ }],
  },
  {
    why: 'one packet in six is chance',
    result: { pods: [{ ...pods, full: { sent: 3, answered: 2 } }] },
    want: [],
  },
  {
    why: 'two packets in six are not',
    result: { pods: [{ ...pods, full: { sent: 3, answered: 1 } }] },
    want: [{ check: 'lossy', severity: 'warning', found: /2 of 6 packets to n2/ }],
  },
  {
    why: 'both families of pods in one blocked tunnel: said once',
    result: {
      pods: [
        { ...pods, ...dead },
        { ...pods, path: 'pods-6' as const, ...dead },
      ],
    },
    want: [{ check: 'tunnel-blocked' }],
  },
  {
    why: 'IPv6 alone is silent: its tunnel is not at fault',
    result: {
      node: [node, { ...node, path: 'node-6' as const, ...dead }],
      pods: [pods, { ...pods, path: 'pods-6' as const, over: 6 as const, ...dead }],
    },
    want: [{ check: 'node-unreachable', found: /answers nothing over IPv6/ }],
  },
  {
    why: 'the worst comes first',
    result: {
      pods: [
        { ...pods, full: { sent: 3, answered: 1 } },
        { ...pods, path: 'pods-6' as const, ...large },
      ],
    },
    want: [{ check: 'mtu-black-hole' }, { check: 'lossy' }],
  },
  { why: 'no way in common: nothing can be said', result: { node: [], pods: [] }, want: [] },
])
  t.test(`diagnosis: ${why}`, async (t) => {
    const found = diagnose({ ...well, ...result }, numbers)
    t.equal(found.length, want.length, JSON.stringify(found))
    t.match(found, want)
  })

t.test('another port than the usual has another remedy', async (t) => {
  const blocked = { ...well, pods: [{ ...pods, ...dead }] }
  const [found] = diagnose(blocked, { ...numbers, port: 4789 })
  t.match(found?.remedy, /NSX, Open vSwitch and Calico use 4789/)
})

t.test('loss is of everything that was sent', async (t) => {
  t.equal(lossPercent([]), 0)
  t.equal(lossPercent([node, { ...pods, full: none }]), 25)
})
