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

function wireUplink({ netns, outside }: Host, mtu: number): void {
  batch(netns, [
    `link add up0 mtu ${mtu} type veth peer name out0 mtu ${mtu} netns ${outside.name}`,
    // no link-local address: it would appear a second later, in the middle of a comparison
    'link set up0 addrgenmode none up',
    `addr add ${uplink.node.v4}/24 dev up0`,
    `addr add ${uplink.node.v6}/64 dev up0 nodad`,
  ])
  batch(outside, [
    'link set out0 addrgenmode none up',
    `addr add ${uplink.outside.v4}/24 dev out0`,
    `addr add ${uplink.outside.v6}/64 dev out0 nodad`,
  ])
  batch(netns, [
    `route add default via ${uplink.outside.v4}`,
    `route add default via ${uplink.outside.v6}`,
  ])
}

/** Lends a host to the test and removes it, whatever happens. */
export async function withHost(
  use: (host: Host) => void | Promise<void>,
  options: HostOptions = {},
): Promise<void> {
  const host = makeHost(options)
  try {
    await use(host)
  } finally {
    host.close()
  }
}
