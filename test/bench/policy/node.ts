import { type ChildProcess, spawn } from 'node:child_process'
import { PolicySocket } from '../../../src/kernel/policy-socket.ts'
import { compile, emptyMemo, type Memo } from '../../../src/policy/compile.ts'
import type { Program } from '../../../src/policy/program.ts'
import { Lodger } from '../../kernel/node.ts'
import { makeNetns, type Netns } from '../../support/netns.ts'
import { batch } from '../../support/underlay.ts'
import {
  addIptablesPeer,
  addIptablesPolicy,
  type IptablesPolicy,
  loadIptables,
  type Shape,
} from './iptables.ts'
import { onePodWorld, podAddress, port, type World } from './world.ts'

export const server = { address: '10.1.0.1', link: 'server', port } as const
const client = { address: '10.1.0.2', link: 'client' } as const
const gateway = '169.254.1.1'
const mac = '02:00:5e:00:53:01'

/** A node with two pods, wired as Tulle does it; who enforces comes on top. */
export class BenchNode {
  readonly node: Netns
  readonly #client: Netns
  readonly #server: Netns
  #serving: ChildProcess | undefined
  readonly #traffic: string

  constructor(traffic: string) {
    this.#traffic = traffic
    this.node = makeNetns('bench-node')
    this.#client = makeNetns('bench-client')
    this.#server = makeNetns('bench-server')
    this.node.exec([
      'sysctl',
      '-qw',
      'net.ipv4.ip_forward=1',
      'net.netfilter.nf_conntrack_max=1000000',
    ])
    for (const [netns, { address, link }] of [
      [this.#server, server],
      [this.#client, client],
    ] as const) {
      batch(this.node, [
        `link add ${link} address ${mac} type veth peer name eth0 netns ${netns.name}`,
        `link set ${link} up`,
        `route add ${address} dev ${link}`,
      ])
      batch(netns, [
        'link set eth0 up',
        `addr add ${address} dev eth0`,
        `neigh add ${gateway} lladdr ${mac} dev eth0`,
        `route add default via ${gateway} dev eth0 onlink`,
      ])
      const [link0] = netns.ipJson('link', 'show', 'eth0')
      batch(this.node, [`neigh add ${address} lladdr ${link0?.address} dev ${link}`])
    }
  }

  async serve(): Promise<void> {
    const words = [`--net=/run/netns/${this.#server.name}`, this.#traffic, 'serve', String(port)]
    const child = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#serving = child
    await new Promise((resolve) => child.stdout.once('data', resolve))
  }

  /** Median of round trips on one flow, in milliseconds. */
  roundTrip = (times: number): number => this.#ask('ask', times)
  /** New connections a second, one after the other. */
  connections = (times: number): number => this.#ask('connect', times)

  #ask(verb: string, times: number): number {
    const words = [this.#traffic, verb, server.address, String(port), String(times)]
    const done = this.#client.exec(words)
    if (done.code !== 0) throw new Error(`Cannot ${verb}: ${done.stderr}`)
    return Number(done.stdout)
  }

  close(): void {
    this.#serving?.kill('SIGKILL')
    for (const netns of [this.#client, this.#server, this.node]) netns.close()
  }
}

export interface Enforcement {
  /** Milliseconds of one more policy, until the kernel has it. */
  readonly addPolicy: () => number
  /** Milliseconds of one more pod that a policy is about. */
  readonly addPod: () => number
  readonly close: () => void
}

const timed = (work: () => void): number => {
  const began = performance.now()
  work()
  return performance.now() - began
}

/** Ours, in this process: from the change of an object to the kernel's answer. */
export class Tulle implements Enforcement {
  readonly #lodger: Lodger
  readonly #socket: PolicySocket
  readonly #world: World
  readonly #memo: Memo = emptyMemo()
  #program: Program
  #next: number
  readonly loadMilliseconds: number

  constructor(node: Netns, world: World) {
    this.#lodger = new Lodger(node)
    this.#socket = new PolicySocket(this.#lodger.native)
    this.#world = world
    this.#next = 50_000
    const began = performance.now()
    this.#program = compile(world.state, this.#memo)
    this.#socket.load(this.#program, world.policed)
    this.loadMilliseconds = performance.now() - began
  }

  static onePod = (node: Netns, policies: number, pods: number): Tulle =>
    new Tulle(node, onePodWorld(policies, pods, { server: server.address, client: client.address }))

  addPolicy = (): number => {
    const { state, policyOf } = this.#world
    const { key, value } = policyOf(this.#next++)
    return timed(() => {
      state.policies.set(key, value)
      this.#commit()
    })
  }

  addPod = (): number => {
    const { state, podOf } = this.#world
    const { key, value } = podOf(this.#next++)
    return timed(() => {
      state.pods.set(key, value)
      this.#commit()
    })
  }

  #commit(): void {
    const next = compile(this.#world.state, this.#memo)
    this.#socket.change(this.#program, next)
    this.#program = next
  }

  close = (): void => {
    this.#socket.close()
    this.#lodger.close()
  }
}

export class Iptables implements Enforcement {
  readonly #node: Netns
  readonly #shape: Shape
  #next = 50_000
  readonly loadMilliseconds: number

  constructor(node: Netns, shape: Shape, policies: number) {
    this.#node = node
    this.#shape = shape
    const all = Array.from(
      { length: policies },
      (_, number): IptablesPolicy => ({
        number,
        peers: [number === policies - 1 ? client.address : podAddress(number + 256)],
      }),
    )
    this.loadMilliseconds = timed(() => loadIptables(node, shape, server, all))
  }

  addPolicy = (): number => {
    const number = this.#next++
    const policy = { number, peers: [podAddress(number)] }
    return timed(() => addIptablesPolicy(this.#node, this.#shape, server, policy))
  }

  addPod = (): number => {
    const address = podAddress(this.#next++)
    return timed(() => addIptablesPeer(this.#node, this.#shape, { number: 0, peers: [] }, address))
  }

  close = (): void => undefined
}
