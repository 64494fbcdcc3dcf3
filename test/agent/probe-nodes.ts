import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { ProbeReport } from '../../src/agent/probe-loop.ts'
import { makeNetns, type Netns, run } from '../support/netns.ts'

// Two nodes behind a router, with real VXLAN devices as Tulle makes them, and the self-test running
// on both.

type Side = Readonly<{ name: string; address: string; gateway: string; pods: string; mac: string }>
const sides = {
  a: {
    name: 'node-a',
    address: '10.1.0.2',
    gateway: '10.1.0.1',
    pods: '10.244.1.0',
    mac: '02:74:0a:01:00:02',
  },
  b: {
    name: 'node-b',
    address: '10.2.0.2',
    gateway: '10.2.0.1',
    pods: '10.244.2.0',
    mac: '02:74:0a:02:00:02',
  },
} as const satisfies Record<string, Side>

export const tunnelPort = 8472
const numbers = { vni: 1, port: tunnelPort, probePort: 7476 }

export class Nodes {
  readonly a = makeNetns('pa')
  readonly b = makeNetns('pb')
  readonly router = makeNetns('pr')

  constructor() {
    this.router.exec(['sysctl', '-qw', 'net.ipv4.ip_forward=1'])
    for (const [name, side, other] of [
      ['a', sides.a, sides.b],
      ['b', sides.b, sides.a],
    ] as const)
      this.#wire(name, side, other)
  }

  #wire(name: 'a' | 'b', side: Side, other: Side): void {
    const netns = this[name]
    const lines = [
      `link add up0 type veth peer name ${name}0 netns ${this.router.name}`,
      `link set up0 up`,
      `addr add ${side.address}/24 dev up0`,
      `link add tulle.1 address ${side.mac} mtu 1450 type vxlan id 1 dstport ${tunnelPort} ` +
        `local ${side.address} nolearning`,
      `addr add ${side.pods}/32 dev tulle.1`,
      `link set tulle.1 up`,
    ]
    batch(netns, lines)
    batch(this.router, [`addr add ${side.gateway}/24 dev ${name}0`, `link set ${name}0 up`])
    batch(netns, [
      `route add default via ${side.gateway}`,
      `neigh add ${other.pods} lladdr ${other.mac} dev tulle.1 nud permanent`,
      `route add ${other.pods}/24 via ${other.pods} dev tulle.1 onlink`,
    ])
    const fdb = ['bridge', 'fdb', 'append', other.mac, 'dev', 'tulle.1', 'dst', other.address]
    must(netns.exec([...fdb, 'self', 'permanent']))
  }

  /** Plain routes instead of the tunnel, which only nodes and router know. */
  goDirect(): void {
    this.a.ip('route', 'replace', `${sides.b.pods}/24`, 'via', sides.a.gateway)
    this.b.ip('route', 'replace', `${sides.a.pods}/24`, 'via', sides.b.gateway)
    this.router.ip('route', 'add', `${sides.a.pods}/24`, 'via', sides.a.address)
    this.router.ip('route', 'add', `${sides.b.pods}/24`, 'via', sides.b.address)
  }

  /** A rule of the router's, about what it forwards or says itself. */
  rule(hook: 'forward' | 'output', text: string): void {
    const chain = `chain ${hook} {\ntype filter hook ${hook} priority 0\n${text}\n}`
    must(this.router.exec(['nft', '-f', '-'], { input: `table inet t {\n${chain}\n}\n` }))
  }

  /** The link to b carries less, as both ends of it know, and the router never says so. */
  shrink(mtuBytes: number): void {
    this.b.ip('link', 'set', 'up0', 'mtu', String(mtuBytes))
    this.router.ip('link', 'set', 'b0', 'mtu', String(mtuBytes))
    this.rule('output', 'icmp type destination-unreachable drop')
  }

  /**
   * Between veths checksums are left out. As `ethtool -K up0 tx off`: SIOCETHTOOL (0x8946) with
   * ETHTOOL_STXCSUM (0x17) and 0.
   */
  calculateChecksums(): void {
    const script =
      'use Socket; socket(my $s, AF_INET, SOCK_DGRAM, 0); my $off = pack("LL", 0x17, 0); ' +
      'ioctl($s, 0x8946, pack("a16 P8 x16", "up0", $off)) or die $!'
    must(this.a.exec(['perl', '-e', script]))
  }

  close(): void {
    for (const netns of [this.a, this.b, this.router]) netns.close()
  }
}

const must = (done: { code: number; stderr: string }): void => {
  if (done.code !== 0) throw new Error(done.stderr)
}
function batch(netns: Netns, lines: readonly string[]): void {
  must(run(['ip', '-n', netns.name, '-batch', '-'], { input: `${lines.join('\n')}\n` }))
}

type Said = Readonly<{ ready?: true; done?: true; report?: ProbeReport; fault?: string }>

/** The self-test of one node, in its namespace. */
export class ProbeNode {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess) {
    this.#child = child
    if (!child.stdout) throw new Error('Cannot read what a node says')
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  }

  static async start(
    netns: Netns,
    own: 'a' | 'b',
    mode: 'vxlan' | 'direct' = 'vxlan',
  ): Promise<ProbeNode> {
    const [self, peer] = own === 'a' ? [sides.a, sides.b] : [sides.b, sides.a]
    const view = {
      name: self.name,
      ends: [
        { path: 'node-4', address: self.address },
        { path: 'pods-4', address: self.pods },
      ],
      peers: [
        {
          name: peer.name,
          ends: [
            { path: 'node-4', address: peer.address, mtuBytes: 1500 },
            { path: 'pods-4', address: peer.pods, mtuBytes: 1450, pods: { mode, over: 4 } },
          ],
        },
      ],
      numbers,
    }
    const script = new URL('probe-node.ts', import.meta.url).pathname
    const words = [`--net=${netns.path}`, process.execPath, script, JSON.stringify(view)]
    const node = new ProbeNode(spawn('nsenter', words, { stdio: ['pipe', 'pipe', 'inherit'] }))
    await node.#until('ready')
    return node
  }

  /** One round; what it says of the other node. */
  async round(): Promise<ProbeReport> {
    this.#child.stdin?.write('round\n')
    const said = await this.#until('done')
    const report = said.findLast((one) => one.report)?.report
    if (!report) throw new Error(`Cannot find a report in ${JSON.stringify(said)}`)
    return report
  }

  async #until(word: 'ready' | 'done'): Promise<readonly Said[]> {
    const said: Said[] = []
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error(`The node ended before it said ${word}: ${JSON.stringify(said)}`)
      const one = JSON.parse(value) as Said
      said.push(one)
      if (one[word]) return said
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

export async function withNodes(
  use: (nodes: Nodes, tests: { a: ProbeNode; b: ProbeNode }) => Promise<void>,
  { mode = 'vxlan' }: { mode?: 'vxlan' | 'direct' } = {},
): Promise<void> {
  const nodes = new Nodes()
  const started: ProbeNode[] = []
  try {
    if (mode === 'direct') nodes.goDirect()
    for (const own of ['a', 'b'] as const)
      started.push(await ProbeNode.start(nodes[own], own, mode))
    const [a, b] = started
    if (a && b) await use(nodes, { a, b })
  } finally {
    for (const node of started) node.kill()
    nodes.close()
  }
}
