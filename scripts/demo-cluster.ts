import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RunningAgent, until, writeNodes } from '../test/agent/running-agent.ts'
import { RouteWatch } from '../test/bench/nodes/route-watch.ts'
import { call, type Json } from '../test/support/cni.ts'
import { makeNetns, type Netns, runLater } from '../test/support/netns.ts'
import { batch, type Segment, Underlay } from '../test/support/underlay.ts'

// Three nodes with an agent each: "near-1" and "near-2" on one link, "far" behind a router, so that
// one pair goes by a plain route and the others in a tunnel.

type NodeWish = Readonly<{
  name: string
  segment: Segment
  addresses: readonly [string, string]
  podCIDRs: readonly [string, string]
}>

const wishes: readonly NodeWish[] = [
  {
    name: 'near-1',
    segment: 'near',
    addresses: ['10.0.0.1', 'fd00:0::1'],
    podCIDRs: ['10.244.1.0/24', 'fd10:1::/64'],
  },
  {
    name: 'near-2',
    segment: 'near',
    addresses: ['10.0.0.2', 'fd00:0::2'],
    podCIDRs: ['10.244.2.0/24', 'fd10:2::/64'],
  },
  {
    name: 'far',
    segment: 'far',
    addresses: ['10.1.0.3', 'fd00:1::3'],
    podCIDRs: ['10.244.3.0/24', 'fd10:3::/64'],
  },
]

export type PodPing = Readonly<{
  from: string
  to: string
  family: 4 | 6
  /** "one node", "direct", "vxlan". */
  way: string
  ms?: number
}>
export type Healed = Readonly<{ what: string; ms: number }>
export type ShownCluster = Readonly<{
  pods: readonly string[]
  pings: readonly PodPing[]
  healed: readonly Healed[]
  /** Pings that were answered after every agent had been told to stop. */
  afterAgents: string
  failed?: string
}>

type Pod = Readonly<{ name: string; node: Node; netns: Netns; v4: string; v6: string }>

class Node {
  readonly wish: NodeWish
  readonly netns: Netns
  readonly agent: RunningAgent
  readonly conflist: string

  constructor(underlay: Underlay, wish: NodeWish, folder: string) {
    this.wish = wish
    this.netns = makeNetns(wish.name)
    underlay.plug(this.netns, 'eth0', wish.segment)
    const at = wish.segment === 'near' ? 0 : 1
    const [v4, v6] = wish.addresses
    batch(this.netns, [
      `addr add ${v4}/24 dev eth0`,
      `addr add ${v6}/64 dev eth0 nodad`,
      `route add default via 10.${at}.0.254 dev eth0`,
      `route add default via fd00:${at}::254 dev eth0`,
    ])
    // A folder each: an agent refuses to stand behind somebody else's network.
    this.conflist = join(folder, wish.name, '10-tulle.conflist')
    const words = ['--nodes-file', join(folder, 'nodes.yaml'), '--conflist', this.conflist]
    this.agent = new RunningAgent(this.netns, wish.name, words)
  }

  /** The network list that the agent wrote, as libcni hands its plugin over. */
  get conf(): Json {
    const list = JSON.parse(readFileSync(this.conflist, 'utf8')) as Json & {
      readonly plugins: readonly Json[]
    }
    return { ...list.plugins[0], cniVersion: list.cniVersion, name: list.name }
  }

  addPod(name: string): Pod {
    const netns = makeNetns(name)
    const ran = this.#ask('ADD', netns)
    if (ran.code !== 0) throw new Error(`ADD of ${name}: ${ran.stdout}`)
    const { ips } = JSON.parse(ran.stdout) as { readonly ips: readonly { address: string }[] }
    const [v4 = '', v6 = ''] = ips.map(({ address }) => address.split('/')[0])
    return { name, node: this, netns, v4, v6 }
  }

  removePod({ netns }: Pod): void {
    this.#ask('DEL', netns)
    netns.close()
  }

  #ask = (verb: 'ADD' | 'DEL', netns: Netns) =>
    call({
      verb,
      conf: this.conf,
      node: this.netns,
      container: netns.name,
      netns: netns.path,
      ifname: 'eth0',
      path: '/opt/cni/bin',
    })

  async close(): Promise<void> {
    await this.agent.close()
    this.netns.close()
  }
}

/** From the start of the agents to the end of all that was made. */
export async function demonstrateCluster(tell: (line: string) => void): Promise<ShownCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-demo-'))
  const underlay = new Underlay()
  const nodes: Node[] = []
  const pods: Pod[] = []
  try {
    for (const wish of wishes) nodes.push(new Node(underlay, wish, folder))
    writeNodes(
      join(folder, 'nodes.new'),
      wishes.map(({ segment: _, ...node }) => node),
    )
    renameSync(join(folder, 'nodes.new'), join(folder, 'nodes.yaml'))
    tell('starting tulle agent on near-1, near-2 (one link) and far (behind a router)')
    for (const { agent } of nodes) agent.start()
    for (const { agent } of nodes) await agent.ready()
    for (const node of nodes)
      for (const number of [1, 2]) pods.push(node.addPod(`${node.wish.name}-pod${number}`))
    tell('pinging every pod from every other, over IPv4 and IPv6')
    const pings = await pingAll(pods)
    tell('taking away routes and the tunnel, while the agents watch')
    const healed = await heal(nodes)
    for (const { agent } of nodes) await agent.end('SIGTERM')
    const after = await pingAll(pods)
    const answered = after.filter(({ ms }) => ms !== undefined).length
    return {
      pods: pods.map(({ name }) => name),
      pings,
      healed,
      afterAgents: `${answered} of ${after.length}`,
    }
  } catch (fault) {
    const failed = fault instanceof Error ? fault.message : String(fault)
    return { pods: [], pings: [], healed: [], afterAgents: 'not asked', failed }
  } finally {
    for (const pod of pods) pod.node.removePod(pod)
    for (const node of nodes) await node.close()
    underlay.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

export const isSoundCluster = ({ pings, healed, failed, afterAgents }: ShownCluster): boolean =>
  failed === undefined &&
  pings.length === 60 &&
  pings.every(({ ms }) => ms !== undefined) &&
  healed.length === 3 &&
  afterAgents === '60 of 60'

async function pingAll(pods: readonly Pod[]): Promise<readonly PodPing[]> {
  const ways = new Map<string, string>()
  for (const node of new Set(pods.map((pod) => pod.node)))
    for (const other of new Set(pods.map((pod) => pod.node)))
      ways.set(`${node.wish.name} ${other.wish.name}`, wayOf(node, other))
  const pairs = pods.flatMap((from) => pods.flatMap((to) => (to === from ? [] : [{ from, to }])))
  return Promise.all(
    pairs.flatMap(({ from, to }) =>
      ([4, 6] as const).map(async (family) => {
        const address = family === 4 ? to.v4 : to.v6
        const words = ['ping', '-n', '-c', '1', '-W', '3', address]
        const { stdout } = await runLater(['nsenter', `--net=${from.netns.path}`, ...words])
        const time = /time=([\d.]+) ms/.exec(stdout)?.[1]
        return {
          from: from.name,
          to: to.name,
          family,
          way: ways.get(`${from.node.wish.name} ${to.node.wish.name}`) ?? '?',
          ...(time === undefined ? {} : { ms: Number(time) }),
        }
      }),
    ),
  )
}

/** As the kernel has it. */
function wayOf(node: Node, other: Node): string {
  if (node === other) return 'one node'
  const podCIDR = other.wish.podCIDRs[0]
  const [route] = node.netns.ipJson('route', 'show', podCIDR)
  return route?.dev === 'tulle.1' ? 'vxlan' : 'direct'
}

/** What is taken away, and when iproute2's monitor says that the way to the far pods is back. */
async function heal(nodes: readonly Node[]): Promise<readonly Healed[]> {
  const [near] = nodes
  const far = wishes[2]?.podCIDRs[0] ?? ''
  if (!near) return []
  const damages = [
    { what: 'the route to far', words: ['ip', 'route', 'del', far] },
    { what: 'all routes of ours', words: ['ip', 'route', 'flush', 'proto', '116'] },
    { what: 'the tunnel device', words: ['ip', 'link', 'del', 'tulle.1'] },
  ]
  const watch = new RouteWatch(near.netns)
  const healed: Healed[] = []
  try {
    for (const { what, words } of damages) {
      await until('the route to far', () => near.netns.ip('route', 'show', far).trim() !== '')
      const back = watch.next(
        `route after ${what} went`,
        ({ kind, destination }) => kind === 'added' && destination === far,
        10_000,
      )
      const began = Date.now()
      near.netns.exec(words)
      healed.push({ what, ms: Math.max(0, (await back).at - began) })
    }
    // Pods' own routes come back as well.
    const ofPods = /^10\.244\.1\.\d+ dev tul[0-9a-f]{11} /gm
    await until('the pods of near-1', () => near.netns.ip('route').match(ofPods)?.length === 2)
    return healed
  } finally {
    watch.close()
  }
}
