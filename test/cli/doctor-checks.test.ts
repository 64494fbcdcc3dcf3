import t from 'tap'
import { parseAddress } from '../../src/base/address.ts'
import { agent } from '../../src/cli/doctor/agent-checks.ts'
import type { Check, Examined } from '../../src/cli/doctor/check.ts'
import { firewall } from '../../src/cli/doctor/cni-checks.ts'
import type { Facts } from '../../src/cli/doctor/facts.ts'
import {
  conntrack,
  forwarding,
  ipv6Enabled,
  kernelFeatures,
  neighbourTable,
} from '../../src/cli/doctor/kernel-checks.ts'
import {
  bridgeHooks,
  policyConntrack,
  policyTableCheck,
} from '../../src/cli/doctor/policy-checks.ts'
import { pools, storeLife } from '../../src/cli/doctor/store-checks.ts'
import { healthy } from './agent-stub.ts'

// What no throw-away namespace can be brought to: checks on made-up facts. The others are in
// doctor.test.ts, on the real kernel.

const calm: Facts = {
  capabilities: new Set(['net_admin', 'sys_admin']),
  features: [],
  links: [],
  addresses: new Map(),
  learnedNeighbours: { 4: 0, 6: 0 },
  sysctl: () => undefined,
  udpListeners: [],
  confDir: '/etc/cni/net.d',
  lists: [],
  binDir: '/opt/cni/bin',
  binary: () => 'absent',
  ownNames: ['tulle'],
  store: null,
  droppingChains: [],
  legacyTables: [],
  policy: {
    ...{ hasTable: true, policed: 1, unguarded: [], closed: [], bridged: [], markedBy: [] },
  },
  fabric: { devices: [], routes: [], unused: [] },
  agent: { kind: 'absent', why: 'no such socket' },
}
const sysctls =
  (values: Readonly<Record<string, string>>): Facts['sysctl'] =>
  (path) =>
    values[path]
const held = (count: number) =>
  Array.from({ length: count }, (_, at) => ({
    network: 'net',
    address: parseAddress(`10.1.0.${at + 2}`)!,
    pool: '10.1.0.1-10.1.0.101',
    container: `c${at}`,
    ifname: 'eth0',
  }))
const store = {
  dataDir: '/x',
  life: 'this' as const,
  leases: held(10),
  podLinks: [],
  gateways: [parseAddress('10.1.0.1')!],
  remains: [],
}
const tracked = (count: number) =>
  sysctls({
    'net/netfilter/nf_conntrack_count': String(count),
    'net/netfilter/nf_conntrack_max': '1000',
  })
const status = (keys: object): Facts['agent'] => ({
  kind: 'status',
  status: { ...healthy, ...keys },
})

for (const { why, check, facts, want } of [
  {
    why: 'a kernel without vxlan',
    check: kernelFeatures,
    facts: {
      features: [
        { name: 'veth', state: 'there' },
        { name: 'vxlan', state: 'missing' },
      ],
    },
    want: [{ verdict: 'error', found: 'the kernel has no vxlan', remedy: /modprobe vxlan/ }],
  },
  {
    why: 'a kernel that may not be asked',
    check: kernelFeatures,
    facts: { features: [{ name: 'vxlan', state: 'unknown' }] },
    want: [{ verdict: 'ok' }, { verdict: 'unknown', found: /only root/ }],
  },
  {
    why: 'half of the connections',
    check: conntrack,
    facts: { sysctl: tracked(500) },
    want: [{ verdict: 'ok' }],
  },
  {
    why: 'nearly every connection',
    check: conntrack,
    facts: { sysctl: tracked(900) },
    want: [{ verdict: 'error', remedy: /nf_conntrack_max/ }],
  },
  { why: 'connections that nobody tracks yet', check: conntrack, facts: {}, want: [] },
  {
    why: 'a full neighbour table of one family',
    check: neighbourTable,
    facts: {
      learnedNeighbours: { 4: 1_000, 6: 3 },
      sysctl: sysctls({
        'net/ipv4/neigh/default/gc_thresh3': '1024',
        'net/ipv6/neigh/default/gc_thresh3': '1024',
      }),
    },
    want: [
      { verdict: 'error', found: /1000 of 1024 IPv4/, remedy: /gc_thresh3 to 8192/ },
      { verdict: 'ok' },
    ],
  },
  {
    why: 'forwarding off on a node where no pod has started',
    check: forwarding,
    facts: { sysctl: sysctls({ 'net/ipv4/ip_forward': '0' }) },
    want: [{ verdict: 'ok', found: /the first pod switches it on/ }],
  },
  {
    why: 'a kernel without IPv6, and podCIDRs of it',
    check: ipv6Enabled,
    facts: { agent: status({ self: { ...healthy.self, podCIDRs: ['fd00:1::/64'] } }) },
    want: [{ verdict: 'error', remedy: /ipv6\.disable=1/ }],
  },
  { why: 'IPv6 off where nobody wants it', check: ipv6Enabled, facts: {}, want: [] },
  {
    why: 'leases of an earlier boot',
    check: storeLife,
    facts: { store: { ...store, life: 'earlier-boot' } },
    want: [{ verdict: 'warning', found: /10 leases are of an earlier boot/ }],
  },
  {
    why: 'an earlier boot, and nothing held',
    check: storeLife,
    facts: { store: { ...store, life: 'earlier-boot', leases: [] } },
    want: [{ verdict: 'ok' }],
  },
  {
    why: 'a store that can’t be read',
    check: storeLife,
    facts: { store: { unseen: 'EACCES' } },
    want: [{ verdict: 'unknown', found: 'EACCES' }],
  },
  { why: 'a pool with room', check: pools, facts: { store }, want: [{ verdict: 'ok' }] },
  {
    why: 'a pool that is nearly full',
    check: pools,
    facts: { store: { ...store, leases: held(90) } },
    want: [{ verdict: 'warning', found: /90 of 100/, meaning: /soon/ }],
  },
  {
    why: 'a pool that is full',
    check: pools,
    facts: { store: { ...store, leases: held(100) } },
    want: [{ verdict: 'error', meaning: 'no more pod starts on this node' }],
  },
  {
    why: 'leases that were adopted belong to no pool',
    check: pools,
    facts: { store: { ...store, leases: held(9).map((one) => ({ ...one, pool: 'adopted' })) } },
    want: [],
  },
  {
    why: 'no conntrack under policies',
    check: policyConntrack,
    facts: {},
    want: [{ check: 'nf-conntrack', verdict: 'error', remedy: /modprobe nf_conntrack/ }],
  },
  {
    why: 'policed pods on a bridge, and no br_netfilter',
    check: bridgeHooks,
    facts: {
      policy: {
        ...{ hasTable: true, policed: 1, unguarded: [], closed: [], markedBy: [] },
        bridged: [4],
      },
    },
    want: [{ verdict: 'error', found: /not loaded/, remedy: /modprobe br_netfilter/ }],
  },
  {
    why: 'policies that can not be looked at',
    check: policyTableCheck,
    facts: { policy: { unseen: 'EPERM' } },
    want: [{ verdict: 'unknown', found: 'EPERM' }],
  },
  {
    why: 'rules of the older iptables',
    check: firewall,
    facts: { legacyTables: ['nat', 'filter'] },
    want: [{ verdict: 'warning', remedy: /iptables-legacy -S FORWARD/ }],
  },
  {
    why: 'an agent that hangs',
    check: agent,
    facts: { agent: { unseen: 'nothing for 5 s' } },
    want: [{ verdict: 'error', found: 'nothing for 5 s' }],
  },
  {
    why: 'an agent that is not ready, and has heard nothing',
    check: agent,
    facts: {
      agent: status({
        ready: false,
        convergence: { pending: 'no node is known' },
        source: {
          ...{ kind: 'kubernetes', where: 'https://x', connected: false, using: 'nothing' },
          error: 'ECONNREFUSED',
        },
      }),
    },
    want: [
      { check: 'agent', verdict: 'warning', found: /not ready: no node is known/ },
      { check: 'source', verdict: 'error', found: /never heard \(ECONNREFUSED\)/ },
    ],
  },
  {
    why: 'a connection that is open and has been silent for an hour',
    check: agent,
    facts: { agent: status({ source: { ...healthy.source, lastContactSeconds: 3_600 } }) },
    want: [{ verdict: 'ok' }, { check: 'source', verdict: 'warning', found: /heard 1 h ago/ }],
  },
  {
    why: 'a nodes file that nobody has changed for a week',
    check: agent,
    facts: {
      agent: status({
        source: { ...healthy.source, kind: 'nodes-file', lastContactSeconds: 604_800 },
      }),
    },
    want: [{ verdict: 'ok' }, { verdict: 'ok' }],
  },
] as readonly {
  why: string
  check: Check
  facts: Partial<Facts>
  want: readonly Partial<Record<keyof Examined, string | RegExp>>[]
}[])
  t.test(`check: ${why}`, async (t) => {
    const found = check({ ...calm, ...facts })
    t.equal(found.length, want.length, JSON.stringify(found))
    t.match(found, want)
  })
