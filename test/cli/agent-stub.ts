import { createServer } from 'node:http'
import { join } from 'node:path'
import type { AgentStatus, PeerStatus, PolicyStatus } from '../../src/serve/agent-status.ts'
import { executable } from '../support/cni.ts'
import { type Netns, type Ran, runLater } from '../support/netns.ts'

// What the tool shows of an agent's words, whatever words they are: a server on a unix socket says
// them. That an agent says them is the agent's tests' to show.

export const healthy: AgentStatus = {
  version: '0.1.0',
  node: 'node-a',
  pid: 4711,
  since: new Date(Date.now() - 3 * 3_600_000).toISOString(),
  ready: true,
  source: {
    kind: 'kubernetes',
    where: 'https://10.96.0.1',
    connected: true,
    using: 'live',
    lastContactSeconds: 12,
  },
  self: {
    addresses: ['10.0.0.1'],
    podCIDRs: ['10.244.1.0/24'],
    uplinks: [{ family: 4, link: 'eth0', address: '10.0.0.1', mtuBytes: 1500 }],
    devices: [
      {
        name: 'tulle.1',
        vni: 1,
        port: 8472,
        local: '10.0.0.1',
        mac: '02:74:0a:00:00:01',
        mtuBytes: 1450,
      },
    ],
    podMtuBytes: 1450,
  },
  peers: [],
  leases: { used: 3, free: 250, ranges: [{ subnet: '10.244.1.0/24', used: 3, free: 250 }] },
  drift: { repairs: 0, byKind: {} },
  convergence: { lastSeconds: 0.012 },
  loops: [],
  findings: [],
  lastErrors: [],
}

export const policyStatus: PolicyStatus = {
  revisions: { networkpolicies: '120', ciliumnetworkpolicies: '77' },
  policies: 7,
  oddPolicies: 0,
  pods: 100,
  localAddresses: 2,
  waiting: [],
  identities: 9,
  profiles: 5,
  elements: 214,
  refused: [],
}

export const peer = (number: number, keys: Partial<PeerStatus> = {}): PeerStatus => ({
  name: `node-${number}`,
  addresses: [`10.0.${number >> 8}.${number & 255}`],
  podCIDRs: [`10.${number >> 8}.${number & 255}.0/24`],
  ways: [{ podCIDR: `10.${number >> 8}.${number & 255}.0/24`, mode: 'vxlan', over: 4 }],
  isFlannel: false,
  ...keys,
})

export type Asked = {
  readonly words: readonly string[]
  readonly folder: string
  readonly node?: Netns
  /** What the socket says; left out, nobody listens. */
  readonly says?: AgentStatus | string
}

/** The tool beside such an agent. */
export async function toolBeside({ words, folder, node, says }: Asked): Promise<Ran> {
  const socket = join(folder, 'agent.sock')
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/status' ? 200 : 404
    response.end(typeof says === 'string' ? says : JSON.stringify(says))
  })
  if (says !== undefined) await new Promise<void>((resolve) => server.listen(socket, resolve))
  try {
    const inside = node ? ['nsenter', `--net=${node.path}`] : []
    return await runLater([...inside, executable, ...words, '--socket', socket], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    })
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}
