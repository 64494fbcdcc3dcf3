import { closeSync, openSync } from 'node:fs'
import { type Family, formatAddress } from '../../src/base/address.ts'
import { formatPrefix, type Prefix } from '../../src/base/prefix.ts'
import type { ClusterNode } from '../../src/cluster/node.ts'
import { FabricSocket } from '../../src/kernel/fabric-socket.ts'
import { loadNative } from '../../src/kernel/native.ts'
import { Sysctls } from '../../src/kernel/sysctl.ts'
import { devicesOf, firstAddress } from '../../src/overlay/device.ts'
import { changesBetween } from '../../src/overlay/difference.ts'
import type { Self } from '../../src/overlay/fabric.ts'
import { defaultOverlay, type OverlayOptions } from '../../src/overlay/options.ts'
import { weavePeer } from '../../src/overlay/peer.ts'
import { selfOf } from '../../src/overlay/self.ts'
import { Weave } from '../../src/overlay/weave.ts'
import { makeNetns, type Netns, run } from './netns.ts'

// Nodes as namespaces: those on one bridge are on one link, "far" is behind a router.

const native = loadNative()

/** Many `ip` commands in one namespace. */
export function batch(netns: Netns, lines: readonly string[]): void {
  const done = run(['ip', '-n', netns.name, '-batch', '-'], { input: `${lines.join('\n')}\n` })
  if (done.code !== 0) throw new Error(`Cannot ip -batch ${lines.join('; ')}: ${done.stderr}`)
}

export type Segment = 'near' | 'far'

/** The bridge of a segment, and the router that joins the two. */
export class Underlay {
  readonly #bridges: Readonly<Record<Segment, Netns>>
  readonly #router: Netns
  readonly #nodes: TestNode[] = []

  constructor() {
    this.#bridges = { near: makeNetns('near'), far: makeNetns('far') }
    this.#router = makeNetns('router')
    forward(this.#router)
    for (const [at, segment] of (['near', 'far'] as const).entries()) {
      batch(this.#bridges[segment], ['link add br0 type bridge', 'link set br0 up'])
      const link = this.plug(this.#router, segment, segment)
      batch(this.#router, [
        `addr add 10.${at}.0.254/24 dev ${link}`,
        `addr add fd00:${at}::254/64 dev ${link} nodad`,
      ])
    }
  }

  /** A link `name` in the namespace, up, on the segment's bridge. */
  plug(netns: Netns, name: string, segment: Segment): string {
    const bridge = this.#bridges[segment]
    const port = `p${Math.random().toString(36).slice(2, 10)}`
    batch(bridge, [
      `link add ${port} type veth peer name ${name} netns ${netns.name}`,
      `link set ${port} master br0 up`,
    ])
    batch(netns, [`link set ${name} up`])
    return name
  }

  /** A node with its addresses on eth0, a default route past the router, and one pod. */
  add(node: ClusterNode, segment: Segment = 'near'): TestNode {
    const made = new TestNode(this, node, segment)
    this.#nodes.push(made)
    return made
  }

  close(): void {
    for (const one of this.#nodes) one.close()
    for (const netns of [...Object.values(this.#bridges), this.#router]) netns.close()
  }
}

/** Before it has links: nobody waits for duplicate addresses to be detected. */
function forward(netns: Netns): void {
  const fd = openSync(netns.path, 'r')
  const sysctls = new Sysctls(native, fd)
  sysctls.write('net/ipv6/conf/default/accept_dad', '0')
  sysctls.write('net/ipv4/ip_forward', '1')
  sysctls.write('net/ipv6/conf/all/forwarding', '1')
  closeSync(fd)
}

const bitsOf = (family: Family): number => (family === 4 ? 24 : 64)

export class TestNode {
  node: ClusterNode
  readonly netns: Netns
  readonly pod: Netns
  readonly fabric: FabricSocket
  readonly #underlay: Underlay
  readonly #segment: Segment
  readonly #fd: number

  constructor(underlay: Underlay, node: ClusterNode, segment: Segment) {
    this.node = node
    this.#underlay = underlay
    this.#segment = segment
    this.netns = makeNetns(`node-${node.name}`)
    this.pod = makeNetns(`pod-${node.name}`)
    this.#fd = openSync(this.netns.path, 'r')
    this.fabric = new FabricSocket(native, this.#fd)
    forward(this.netns)
    forward(this.pod)
    this.plugUplink()
    batch(this.netns, [`link add pods type veth peer name eth0 netns ${this.pod.name}`])
    batch(this.netns, [
      'link set pods up',
      ...node.podCIDRs.map((one) => `addr add ${this.#at(one, 1n)} dev pods nodad`),
    ])
    batch(this.pod, [
      'link set eth0 mtu 1400 up',
      ...node.podCIDRs.map((one) => `addr add ${this.#at(one, 5n)} dev eth0 nodad`),
      ...node.podCIDRs.map(
        (one) => `route add default via ${this.#at(one, 1n).split('/')[0]} dev eth0`,
      ),
    ])
  }

  get sysctls(): Sysctls {
    return new Sysctls(native, this.#fd)
  }

  /** eth0 with the node's addresses, again after it was deleted. */
  plugUplink(): void {
    this.#underlay.plug(this.netns, 'eth0', this.#segment)
    const at = this.#segment === 'near' ? 0 : 1
    const families = new Set(this.node.addresses.map(({ family }) => family))
    batch(this.netns, [
      ...this.node.addresses.map(
        (one) => `addr add ${formatAddress(one)}/${bitsOf(one.family)} dev eth0 nodad`,
      ),
      ...(families.has(4) ? [`route add default via 10.${at}.0.254 dev eth0`] : []),
      ...(families.has(6) ? [`route add default via fd00:${at}::254 dev eth0`] : []),
    ])
  }

  self(): Self {
    const self = selfOf(this.node, this.fabric.view())
    if ('problem' in self) throw new Error(self.problem)
    return self
  }

  /** What an agent does: devices, then the difference to what these nodes want. */
  settle(nodes: readonly TestNode[], options: OverlayOptions = defaultOverlay): Settled {
    const self = this.self()
    const devices = devicesOf(self, options)
    const devicesChanged = this.fabric.ensureDevices(devices)
    const weave = new Weave()
    for (const { node } of nodes) weave.put(weavePeer(self, node, options))
    const { entries, faults } = this.fabric.observe(devices)
    const changes = changesBetween(weave.wanted, entries)
    const refusals = this.fabric.apply(changes).map(({ text }) => text)
    return { devicesChanged, changes: changes.length, refusals, faults }
  }

  /** The pod's address of a family. */
  podAddress(family: Family): string {
    const podCIDR = this.node.podCIDRs.find(({ address }) => address.family === family)
    if (!podCIDR) throw new Error(`Node ${this.node.name} has no IPv${family} pods`)
    return this.#at(podCIDR, 5n).split('/')[0] ?? ''
  }

  /** Whether this node's pod reaches the other's, with packets of this size. */
  reaches(other: TestNode, family: Family, bytes = 56): boolean {
    const words = ['ping', '-n', '-c', '1', '-W', '3', '-s', `${bytes}`, other.podAddress(family)]
    return this.pod.exec(words).code === 0
  }

  close(): void {
    this.fabric.close()
    closeSync(this.#fd)
    this.netns.close()
    this.pod.close()
  }

  #at(podCIDR: Prefix, offset: bigint): string {
    const { family, value } = firstAddress(podCIDR)
    return formatPrefix({ address: { family, value: value + offset }, bits: podCIDR.bits })
  }
}

export type Settled = {
  readonly devicesChanged: readonly string[]
  readonly changes: number
  readonly refusals: readonly string[]
  readonly faults: readonly string[]
}

/** Every node settles with all of them. */
export const settleAll = (
  nodes: readonly TestNode[],
  options: OverlayOptions = defaultOverlay,
): readonly Settled[] => nodes.map((one) => one.settle(nodes, options))

/** Lends an underlay to the test and removes it, whatever happens. */
export async function withUnderlay(
  use: (underlay: Underlay) => void | Promise<void>,
): Promise<void> {
  const underlay = new Underlay()
  try {
    await use(underlay)
  } finally {
    underlay.close()
  }
}
