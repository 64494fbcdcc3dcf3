import type { AgentStatus } from '../../src/serve/agent-status.ts'

export const status: AgentStatus = {
  version: '1.2.3',
  node: 'n1',
  pid: 1,
  since: '2026-01-01T00:00:00.000Z',
  ready: true,
  source: {
    kind: 'nodes-file',
    where: '/n',
    connected: true,
    using: 'live',
    lastContactSeconds: 1.5,
  },
  self: {
    addresses: ['10.0.0.1'],
    podCIDRs: ['10.244.0.0/24'],
    uplinks: [],
    devices: [],
    podMtuBytes: 1450,
  },
  peers: [
    {
      name: 'n2',
      addresses: [],
      podCIDRs: [],
      isFlannel: false,
      ways: [{ podCIDR: '10.244.1.0/24', mode: 'direct', over: 4 }],
    },
    {
      name: 'n3',
      addresses: [],
      podCIDRs: [],
      isFlannel: false,
      ways: [
        { podCIDR: '10.244.2.0/24', mode: 'direct', over: 4 },
        { podCIDR: 'fd00:2::/64', mode: 'vxlan', over: 4 },
      ],
    },
    { name: 'n4', addresses: [], podCIDRs: [], isFlannel: false, ways: [], problem: 'no' },
  ],
  leases: { used: 3, free: 250, ranges: [] },
  drift: { repairs: 5, byKind: { route: 3, fdb: 2 } },
  convergence: { lastSeconds: 0.004 },
  loops: [{ name: 'fabric', runs: 9, errors: 2, failuresInRow: 0 }],
  findings: [
    { check: 'duplicate-pod-cidr', severity: 'error', meaning: 'm', remedy: 'r', since: 's' },
  ],
  lastErrors: [],
}
