import { addressBytes, parseAddress } from '../../src/base/address.ts'
import { policyTable } from '../../src/datapath/policy-table.ts'
import { PolicySocket, type Refusals } from '../../src/kernel/policy-socket.ts'
import type { Program } from '../../src/policy/program.ts'
import type { Element } from '../../src/wire/nft/set.ts'
import { type Host, makeHost, uplink } from '../support/host.ts'
import { makeNetns, type Netns } from '../support/netns.ts'
import { Lodger } from './node.ts'

// A node that routes between a handful of pods behind veths and a client outside, with our policies
// and nothing else of ours.

export const podNames = ['a', 'b', 'c'] as const
export type PodName = (typeof podNames)[number]

/** Pods are 10.1.0.1 to .3 and fd00:1::1 to ::3. */
export const addressesOf = (name: PodName): { readonly v4: string; readonly v6: string } => {
  const number = podNames.indexOf(name) + 1
  return { v4: `10.1.0.${number}`, v6: `fd00:1::${number}` }
}
export const outside = uplink.outside
export const nodeAddresses = [uplink.node.v4, uplink.node.v6, '10.1.255.254', 'fd00:1::ffff']

export class PolicedNode {
  readonly host: Host
  readonly pods: Readonly<Record<PodName, Netns>>
  readonly lodger: Lodger
  readonly policies: PolicySocket

  constructor() {
    this.host = makeHost()
    this.pods = { a: makeNetns('pod'), b: makeNetns('pod'), c: makeNetns('pod') }
    this.lodger = new Lodger(this.host.netns)
    this.policies = new PolicySocket(this.lodger.native, () => 0.5)
    try {
      wire(this.host, this.pods)
    } catch (refusal) {
      this.close()
      throw refusal
    }
  }

  /** `nft` on the node, with rules of others. */
  nft(rules: string): void {
    const done = this.host.netns.exec(['nft', '-f', '-'], { input: rules })
    if (done.code !== 0) throw new Error(done.stderr)
  }

  load(program: Program): void {
    this.policies.load(program, policed)
  }

  /** Packets refused, or told of, since the program was loaded. */
  count(program: Program, is: (one: Refusals) => boolean = () => true): number {
    return this.policies
      .refusals(program)
      .filter(is)
      .reduce((sum, { packets }) => sum + packets, 0)
  }

  close(): void {
    this.policies.close()
    this.lodger.close()
    for (const pod of Object.values(this.pods)) pod.close()
    this.host.close()
  }
}

export async function withPolicedNode(use: (node: PolicedNode) => unknown): Promise<void> {
  const node = new PolicedNode()
  try {
    await use(node)
  } finally {
    node.close()
  }
}

/** As ADD puts them in. */
export const policed: readonly Element[] = podNames.flatMap((name) =>
  Object.values(addressesOf(name)).flatMap((text) => {
    const address = parseAddress(text)
    if (!address) return []
    const set = `policed${address.family}`
    return [{ ...policyTable, set, key: addressBytes(address), comment: `net/${name}/eth0` }]
  }),
)

const gateway = { v4: '10.1.255.254', v6: 'fe80::1' } as const

function wire({ netns, outside: client }: Host, pods: PolicedNode['pods']): void {
  const forward = 'net/ipv4/ip_forward net/ipv6/conf/all/forwarding'
  const script = `for key in ${forward}; do echo 1 > /proc/sys/$key; done`
  const done = netns.exec(['/bin/sh', '-c', script])
  if (done.code !== 0) throw new Error(done.stderr)
  netns.ip('addr', 'add', 'fd00:1::ffff/128', 'dev', 'lo')
  for (const name of podNames) {
    const { v4, v6 } = addressesOf(name)
    const [pod, link] = [pods[name], `veth-${name}`]
    netns.ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod.name)
    netns.ip('link', 'set', link, 'addrgenmode', 'none')
    netns.ip('addr', 'add', `${gateway.v4}/32`, 'dev', link)
    netns.ip('link', 'set', link, 'up')
    netns.ip('addr', 'add', `${gateway.v6}/64`, 'dev', link, 'nodad')
    netns.ip('route', 'add', v4, 'dev', link, 'src', gateway.v4)
    netns.ip('route', 'add', v6, 'dev', link, 'src', 'fd00:1::ffff')
    pod.ip('link', 'set', 'eth0', 'addrgenmode', 'none')
    pod.ip('link', 'set', 'eth0', 'up')
    pod.ip('addr', 'add', `${v4}/32`, 'dev', 'eth0')
    pod.ip('addr', 'add', `${v6}/128`, 'dev', 'eth0', 'nodad')
    pod.ip('addr', 'add', `fe80::${name}/64`, 'dev', 'eth0', 'nodad')
    pod.ip('route', 'add', gateway.v4, 'dev', 'eth0')
    pod.ip('route', 'add', 'default', 'via', gateway.v4)
    pod.ip('route', 'add', 'default', 'via', gateway.v6, 'dev', 'eth0')
  }
  client.ip('route', 'add', '10.1.0.0/16', 'via', uplink.node.v4)
  client.ip('route', 'add', 'fd00:1::/64', 'via', uplink.node.v6)
}
