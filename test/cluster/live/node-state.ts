import type { ClusterNode } from '../machine/node.ts'

/** What pods leave traces in on a node; equal before and after, nothing of them is left. */
export type NodeState = Readonly<{
  leases: readonly string[]
  links: readonly string[]
  /** Network namespaces that the runtime made. */
  namespaces: readonly string[]
  /** Every element of every set and map of Tulle's tables, with its place. */
  elements: readonly string[]
}>

const tulle = '/opt/cni/bin/tulle'

export async function stateOf(node: ClusterNode): Promise<NodeState> {
  const { computer } = node
  const [leases, links, namespaces, nft] = await Promise.all([
    computer.must([tulle, 'ipam', 'list', '--json']),
    computer.must(['ip', '-j', 'link', 'show']),
    namespacesOf(node),
    computer.must(['nft', '-j', 'list', 'ruleset']),
  ])
  return {
    leases: (JSON.parse(leases) as Leases).leases.map(({ address }) => address).toSorted(),
    links: (JSON.parse(links) as readonly Link[]).map(({ ifname }) => ifname).toSorted(),
    namespaces,
    elements: elementsOf(JSON.parse(nft) as Ruleset).toSorted(),
  }
}

export async function namespacesOf({ computer }: ClusterNode): Promise<readonly string[]> {
  const listed = await computer.must(['ls', '/run/netns'])
  return listed.split('\n').filter((line) => line !== '')
}

/** Everything that containerd knows: containers and sandboxes, also those that have ended. */
export async function containersOf(node: ClusterNode): Promise<readonly string[]> {
  const { stdout } = await node.ctr('containers', 'list', '--quiet')
  return stdout.split('\n').filter((line) => line !== '')
}

type Leases = Readonly<{ leases: readonly { readonly address: string }[] }>
type Link = Readonly<{ ifname: string }>
type Holder = Readonly<{ table: string; name: string; elem?: readonly unknown[] }>
type Ruleset = Readonly<{ nftables: readonly Readonly<{ set?: Holder; map?: Holder }>[] }>

/** An element's counters and ages are not its own; where it leads and what it is are. */
function elementsOf({ nftables }: Ruleset): readonly string[] {
  return nftables.flatMap(({ set, map }) => {
    const holder = set ?? map
    if (!holder?.table.startsWith('tulle')) return []
    const { table, name, elem = [] } = holder
    return elem.map((one) => `${table} ${name} ${JSON.stringify(one)}`)
  })
}
