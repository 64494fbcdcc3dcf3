import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { ProbeReport } from '../../src/agent/probe-loop.ts'
import { makeNetns, type Netns, run } from '../support/netns.ts'

// Two nodes behind a router, with real VXLAN devices as Tulle makes them, and the self-test running
// on both.

type Side = Readonly<{ name: string; address: string; gateway: string; pods: string; mac: string }>
type Sides = Readonly<Record<'a' | 'b', Side>>
const macs = { a: '02:74:0a:01:00:02', b: '02:74:0a:02:00:02' } as const
const sides4: Sides = {
  a: {
    ...{ name: 'node-a', mac: macs.a, pods: '10.244.1.0' },
    ...{ address: '10.1.0.2', gateway: '10.1.0.1' },
  },
  b: {
    ...{ name: 'node-b', mac: macs.b, pods: '10.244.2.0' },
    ...{ address: '10.2.0.2', gateway: '10.2.0.1' },
  },
}
const sides6: Sides = {
  a: {
    ...{ name: 'node-a', mac: macs.a, pods: 'fd00:244:1::' },
    ...{ address: '2001:db8:1::2', gateway: '2001:db8:1::1' },
  },
  b: {
    ...{ name: 'node-b', mac: macs.b, pods: 'fd00:244:2::' },
    ...{ address: '2001:db8:2::2', gateway: '2001:db8:2::1' },
  },
}
const families = {
  4: {
    sides: sides4,
    device: 'tulle.1',
    mtuBytes: 1450,
    subnetBits: 24,
    podBits: 24,
    hostBits: 32,
  },
  6: {
    sides: sides6,
    device: 'tulle-v6.1',
    mtuBytes: 1430,
    subnetBits: 64,
    podBits: 64,
    hostBits: 128,
  },
} as const

export const tunnelPort = 8472
const numbers = { vni: 1, port: tunnelPort, probePort: 7476 }

export class Nodes {
  readonly a = makeNetns('pa')
  readonly b = makeNetns('pb')
  readonly router = makeNetns('pr')

  readonly family: 4 | 6

  constructor(family: 4 | 6) {
    this.family = family
    const names = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']
    for (const name of names) this.router.exec(['sysctl', '-qw', name])
    // A link-local address whose duplicates are looked for holds all else back for a second.
    for (const netns of [this.a, this.b, this.router])
      for (const name of ['all', 'default'])
        netns.exec(['sysctl', '-qw', `net.ipv6.conf.${name}.accept_dad=0`])
    const { sides } = families[family]
    this.#wire('a', sides.a, sides.b)
    this.#wire('b', sides.b, sides.a)
    // The kernel tells IPv6 of a link that came up once a second: the first echo ends the wait.
    must(this.a.exec(['ping', '-q', '-c1', '-i0.2', '-w10', sides.b.address]))
  }

  #wire(name: 'a' | 'b', side: Side, other: Side): void {
    const netns = this[name]
    const { device, mtuBytes, subnetBits, podBits, hostBits } = families[this.family]
    // No wait for duplicate address detection.
    const quiet = this.family === 6 ? ' nodad' : ''
    batch(netns, [
      `link add up0 type veth peer name ${name}0 netns ${this.router.name}`,
      `link set up0 up`,
      `addr add ${side.address}/${subnetBits} dev up0${quiet}`,
      `link add ${device} address ${side.mac} mtu ${mtuBytes} type vxlan id 1 ` +
        `dstport ${tunnelPort} local ${side.address} nolearning`,
      `addr add ${side.pods}/${hostBits} dev ${device}${quiet}`,
      `link set ${device} up`,
    ])
    batch(this.router, [
      `addr add ${side.gateway}/${subnetBits} dev ${name}0${quiet}`,
      `link set ${name}0 up`,
    ])
    batch(netns, [
      `route add default via ${side.gateway}`,
      `neigh add ${other.pods} lladdr ${other.mac} dev ${device} nud permanent`,
      `route add ${other.pods}/${podBits} via ${other.pods} dev ${device} onlink`,
    ])
    const fdb = ['bridge', 'fdb', 'append', other.mac, 'dev', device, 'dst', other.address]
    must(netns.exec([...fdb, 'self', 'permanent']))
  }

  /** Plain routes instead of the tunnel, which only nodes and router know. */
  goDirect(): void {
    const { sides, podBits } = families[this.family]
    const { a, b } = sides
    this.a.ip('route', 'replace', `${b.pods}/${podBits}`, 'via', a.gateway)
    this.b.ip('route', 'replace', `${a.pods}/${podBits}`, 'via', b.gateway)
    this.router.ip('route', 'add', `${a.pods}/${podBits}`, 'via', a.address)
    this.router.ip('route', 'add', `${b.pods}/${podBits}`, 'via', b.address)
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
    const types = { 4: 'icmp type destination-unreachable', 6: 'icmpv6 type packet-too-big' }
    this.rule('output', `${types[this.family]} drop`)
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

  static async start(nodes: Nodes, own: 'a' | 'b', mode: 'vxlan' | 'direct'): Promise<ProbeNode> {
    const { family } = nodes
    const { sides, mtuBytes } = families[family]
    const [self, peer] = own === 'a' ? [sides.a, sides.b] : [sides.b, sides.a]
    const view = {
      name: self.name,
      ends: [
        { path: `node-${family}`, address: self.address },
        { path: `pods-${family}`, address: self.pods },
      ],
      peers: [
        {
          name: peer.name,
          ends: [
            { path: `node-${family}`, address: peer.address, mtuBytes: 1500 },
            { path: `pods-${family}`, address: peer.pods, mtuBytes, pods: { mode, over: family } },
          ],
        },
      ],
      numbers,
    }
    const script = new URL('probe-node.ts', import.meta.url).pathname
    const words = [`--net=${nodes[own].path}`, process.execPath, script, JSON.stringify(view)]
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
  { mode = 'vxlan', family = 4 }: { mode?: 'vxlan' | 'direct'; family?: 4 | 6 } = {},
): Promise<void> {
  const nodes = new Nodes(family)
  const started: ProbeNode[] = []
  try {
    if (mode === 'direct') nodes.goDirect()
    for (const own of ['a', 'b'] as const) started.push(await ProbeNode.start(nodes, own, mode))
    const [a, b] = started
    if (a && b) await use(nodes, { a, b })
  } finally {
    for (const node of started) node.kill()
    nodes.close()
  }
}
