import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeNetns, type Netns, run } from './netns.ts'

export type HostOptions = { readonly uplinkMtu?: number }

/** A pod that a runtime has made and that waits for its network. */
export type Pod = Readonly<{ host: Host; netns: Netns; container: string; ifname: string }>

/** TEST-NET-1 and the documentation prefix: nothing on the machine has these. */
export const uplink = {
  node: { v4: '192.0.2.1', v6: '2001:db8:ff::1' },
  outside: { v4: '192.0.2.2', v6: '2001:db8:ff::2' },
} as const

/**
 * A throw-away node: a namespace with an uplink `up0` to an `outside` namespace that knows no
 * route back to any pod, a directory for leases, and the pods made on it.
 */
export class Host {
  readonly netns: Netns
  readonly outside: Netns
  readonly directory: string
  readonly dataDir: string
  readonly #pods: Netns[] = []

  constructor(netns: Netns, outside: Netns) {
    this.netns = netns
    this.outside = outside
    this.directory = mkdtempSync(join(tmpdir(), 'tt-host-'))
    this.dataDir = join(this.directory, 'leases')
  }

  /** A new pod namespace; its name serves as the container id too. */
  pod(ifname = 'eth0'): Pod {
    const netns = makeNetns('pod')
    this.#pods.push(netns)
    return { host: this, netns, container: netns.name, ifname }
  }

  /** Removes every namespace and file; may be called twice. */
  close(): void {
    for (const netns of [...this.#pods, this.netns, this.outside]) netns.close()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

function batch(netns: Netns, lines: readonly string[]): void {
  const done = run(['ip', '-n', netns.name, '-batch', '-'], { input: `${lines.join('\n')}\n` })
  if (done.code !== 0) throw new Error(`Cannot set up ${netns.name}: ${done.stderr.trim()}`)
}

export function makeHost(options: HostOptions = {}): Host {
  const host = new Host(makeNetns('node'), makeNetns('outside'))
  try {
    wireUplink(host, options.uplinkMtu ?? 1500)
    return host
  } catch (refusal) {
    host.close()
    throw refusal
  }
}

// known for good: no test shall wait for, or be disturbed by, neighbour discovery on the uplink
const macs = { node: '02:00:5e:00:53:01', outside: '02:00:5e:00:53:02' } as const

const ipv6MtuMin = 1280 // RFC 8200 section 5: a smaller link has no IPv6

function wireUplink({ netns, outside }: Host, mtu: number): void {
  const families = mtu < ipv6MtuMin ? (['v4'] as const) : (['v4', 'v6'] as const)
  const quiet = mtu < ipv6MtuMin ? '' : 'addrgenmode none'
  const addresses = (end: 'node' | 'outside', dev: string): readonly string[] =>
    families.map((family) =>
      family === 'v4'
        ? `addr add ${uplink[end].v4}/24 dev ${dev}`
        : `addr add ${uplink[end].v6}/64 dev ${dev} nodad`,
    )
  const neighbours = (end: 'node' | 'outside', dev: string): readonly string[] =>
    families.map((family) => `neigh add ${uplink[end][family]} lladdr ${macs[end]} dev ${dev}`)
  batch(netns, [
    `link add up0 mtu ${mtu} address ${macs.node} type veth peer name out0 ` +
      `mtu ${mtu} address ${macs.outside} netns ${outside.name}`,
    // no link-local address: it would appear a second later, in the middle of a comparison
    `link set up0 ${quiet} up`,
    ...addresses('node', 'up0'),
  ])
  batch(outside, [
    `link set out0 ${quiet} up`,
    ...addresses('outside', 'out0'),
    ...neighbours('node', 'out0'),
  ])
  batch(netns, [
    ...neighbours('outside', 'up0'),
    ...families.map((family) => `route add default via ${uplink.outside[family]}`),
  ])
}

/** Lends a host to the test and removes it, whatever happens. */
export async function withHost<T>(
  use: (host: Host) => T | Promise<T>,
  options: HostOptions = {},
): Promise<T> {
  const host = makeHost(options)
  try {
    return await use(host)
  } finally {
    host.close()
  }
}
