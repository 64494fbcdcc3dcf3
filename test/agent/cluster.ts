import { mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { formatAddress, parseAddress } from '../../src/base/address.ts'
import { formatPrefix, parsePrefix } from '../../src/base/prefix.ts'
import type { ClusterNode, RouteMode } from '../../src/cluster/node.ts'
import { batch, type Segment, type TestNode, Underlay } from '../support/underlay.ts'
import { Api } from './api.ts'
import { RunningAgent, until, writeNodes } from './running-agent.ts'

export type NodeWish = {
  readonly name: string
  readonly addresses: readonly string[]
  readonly podCIDRs: readonly string[]
  readonly mode?: RouteMode
  readonly segment?: Segment
}

export const nodeOf = ({ name, addresses, podCIDRs, mode }: NodeWish): ClusterNode => ({
  name,
  addresses: addresses.map((text) => parseAddress(text) ?? odd(text)),
  podCIDRs: podCIDRs.map((text) => parsePrefix(text) ?? odd(text)),
  ...(mode ? { mode } : {}),
})

function odd(text: string): never {
  throw new Error(`Cannot use ${text}`)
}

/** "a" and "b" share a link, "c" is behind a router; dual stack everywhere. */
export const three: readonly NodeWish[] = [
  { name: 'a', addresses: ['10.0.0.1', 'fd00:0::1'], podCIDRs: ['10.244.1.0/24', 'fd10:1::/64'] },
  { name: 'b', addresses: ['10.0.0.2', 'fd00:0::2'], podCIDRs: ['10.244.2.0/24', 'fd10:2::/64'] },
  {
    name: 'c',
    addresses: ['10.1.0.3', 'fd00:1::3'],
    podCIDRs: ['10.244.3.0/24', 'fd10:3::/64'],
    segment: 'far',
  },
]

export type Member = { readonly host: TestNode; readonly agent: RunningAgent }

/** Nodes with agents that read one nodes file. */
export class Cluster {
  readonly underlay = new Underlay()
  readonly folder = mkdtempSync(join(tmpdir(), 'tt-cluster-'))
  readonly members = new Map<string, Member>()

  get nodesFile(): string {
    return join(this.folder, 'nodes.yaml')
  }

  /** The file as a whole, by rename. */
  tell(nodes: readonly ClusterNode[] = this.nodes): void {
    writeNodes(`${this.nodesFile}.new`, nodes.map(plain))
    renameSync(`${this.nodesFile}.new`, this.nodesFile)
  }

  get nodes(): readonly ClusterNode[] {
    return [...this.members.values()].map(({ host }) => host.node)
  }

  add(wish: NodeWish, words: readonly string[] = ['--nodes-file', this.nodesFile]): Member {
    const host = this.underlay.add(nodeOf(wish), wish.segment ?? 'near')
    const agent = new RunningAgent(host.netns, wish.name, words)
    const member = { host, agent }
    this.members.set(wish.name, member)
    return member
  }

  get(name: string): Member {
    const member = this.members.get(name)
    if (!member) throw new Error(`There is no node ${name}`)
    return member
  }

  /** Every pod reaches every other, in both families. */
  async allReach(names: readonly string[] = [...this.members.keys()]): Promise<void> {
    for (const from of names)
      for (const to of names)
        if (from !== to)
          for (const family of [4, 6] as const)
            await until(`${from} reaches ${to} over IPv${family}`, () =>
              this.get(from).host.reaches(this.get(to).host, family),
            )
  }

  async close(): Promise<void> {
    for (const { agent } of this.members.values()) await agent.close()
    this.underlay.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

const plain = ({ name, addresses, podCIDRs, mode }: ClusterNode): object => ({
  name,
  addresses: addresses.map(formatAddress),
  podCIDRs: podCIDRs.map(formatPrefix),
  ...(mode ? { mode } : {}),
})

export async function withCluster(
  wishes: readonly NodeWish[],
  use: (cluster: Cluster) => Promise<void>,
): Promise<void> {
  const cluster = new Cluster()
  try {
    for (const wish of wishes) cluster.add(wish)
    cluster.tell()
    for (const { agent } of cluster.members.values()) agent.start()
    for (const { agent } of cluster.members.values()) await agent.ready()
    await use(cluster)
  } finally {
    await cluster.close()
  }
}

/** Nodes with agents that ask one API stand-in. */
export async function withKubernetes(
  wishes: readonly NodeWish[],
  use: (cluster: Cluster, api: Api) => Promise<void>,
  words: readonly string[] = [],
): Promise<void> {
  const cluster = new Cluster()
  const api = new Api(cluster.underlay, cluster.folder)
  try {
    await api.start()
    for (const wish of wishes) {
      const { host } = cluster.add(wish, ['--kubeconfig', api.kubeconfig, ...words])
      await api.put(host.node)
    }
    for (const { agent } of cluster.members.values()) agent.start()
    for (const { agent } of cluster.members.values()) await agent.ready()
    await use(cluster, api)
  } finally {
    api.close()
    await cluster.close()
  }
}

/** The far node's link gets the addresses that its node has now, in the place of the old ones. */
export function readdress({ netns, node }: TestNode): void {
  batch(netns, [
    'addr flush dev eth0 scope global',
    ...node.addresses.map((one) => {
      const bits = one.family === 4 ? 24 : 64
      return `addr add ${formatAddress(one)}/${bits} dev eth0 nodad`
    }),
    'route replace default via 10.1.0.254 dev eth0',
    'route replace default via fd00:1::254 dev eth0',
  ])
}
