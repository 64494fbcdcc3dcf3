import { parseAddress } from '../../src/base/address.ts'
import { parsePrefix } from '../../src/base/prefix.ts'
import type { ClusterNode, RouteMode } from '../../src/cluster/node.ts'
import { devicesOf } from '../../src/overlay/device.ts'
import { defaultOverlay } from '../../src/overlay/options.ts'
import { weavePeer } from '../../src/overlay/peer.ts'
import { type HostView, selfOf } from '../../src/overlay/self.ts'
import { Weave } from '../../src/overlay/weave.ts'
import { FakeClock } from '../agent/fake-clock.ts'
import { AgentModel, type Disk, type Notices } from './agent-model.ts'
import { Chance } from './chance.ts'
import { ClusterModel } from './cluster-model.ts'
import { KernelModel, textOf } from './kernel-model.ts'

type Machine = {
  readonly name: string
  readonly kernel: KernelModel
  readonly disk: Disk
  readonly segment: number
  agent: AgentModel | undefined
}

/** What may befall the cluster; each once in so many moments. */
const troubles = [
  'join',
  'leave',
  'podCIDR',
  'address',
  'mode',
  'own',
  'vandal',
  'vandal',
  'kill',
  'kill-in-work',
  'start',
  'start',
  'reboot',
  'uplink',
  'api-down',
  'api-up',
  'api-up',
  'broken-watch',
] as const

/**
 * A whole cluster on one clock: real agents' fabric loops, each with a model of its kernel, and one
 * model of the API. Everything that happens follows from the seed.
 */
export class World {
  readonly #chance: Chance
  readonly #clock = new FakeClock()
  readonly #cluster: ClusterModel
  readonly #notices: Notices
  readonly #machines: Machine[] = []
  readonly faults: string[] = []
  /** For a person who asks what a seed did. */
  readonly history: string[] = []
  deaths = 0
  #made = 0

  constructor(seed: number, machines: number) {
    this.#chance = new Chance(seed)
    this.#notices = seed % 2 === 0 ? 'lossy' : 'late'
    this.#cluster = new ClusterModel(this.#clock)
    for (let at = 0; at < machines; at++) this.#addMachine(at)
  }

  /** So many troubles, then peace; what is not as it should be then, in words. */
  async run(troublesMany: number): Promise<readonly string[]> {
    for (let at = 0; at < troublesMany; at++) {
      await this.#clock.pass(this.#chance.below(1_500))
      this.#befall(this.#chance.of(troubles) ?? 'vandal')
    }
    this.#makePeace()
    await this.#clock.pass(120_000)
    const findings = [
      ...this.faults,
      ...this.#machines.flatMap((machine) => this.#examine(machine)),
    ]
    for (const { agent } of this.#machines) agent?.die()
    return findings
  }

  /** In all kernels together. */
  get entries(): number {
    return this.#machines.reduce((sum, { kernel }) => sum + kernel.entries.size, 0)
  }

  #addMachine(at: number): void {
    const segment = at % 2
    const name = `node-${at}`
    const address = `10.${segment}.0.${at + 10}`
    const machine: Machine = {
      name,
      kernel: new KernelModel(viewOf(address)),
      disk: { known: undefined },
      segment,
      agent: undefined,
    }
    const chance = this.#chance.fork()
    machine.kernel.isShort = () => chance.happens(0.03)
    this.#machines.push(machine)
    this.#cluster.put(nodeOf(name, address, podCIDROf(at)))
    this.#start(machine)
  }

  #start(machine: Machine): void {
    const { name, kernel, disk } = machine
    kernel.messagesLeft = undefined
    machine.agent = new AgentModel({
      name,
      kernel,
      disk,
      notices: this.#notices,
      clock: this.#clock,
      chance: this.#chance.fork(),
      cluster: this.#cluster,
      onDeath: () => {
        this.deaths++
        machine.agent = undefined
        kernel.onForeignChange = () => undefined
      },
      onFault: (error) => this.faults.push(`${name}: ${String(error)}`),
    })
  }

  #befall(trouble: (typeof troubles)[number]): void {
    const machine = this.#chance.of(this.#machines)
    this.history.push(`${Math.round(this.#clock.now())} ms: ${trouble} ${machine?.name}`)
    if (machine) this.#befallMachine(trouble, machine)
    this.#befallStrangers(trouble)
    if (trouble === 'api-up') this.#cluster.isDown = false
    if (trouble !== 'api-down') return
    this.#cluster.isDown = true
    for (const { agent } of this.#machines) agent?.breakWatch()
  }

  #befallMachine(trouble: (typeof troubles)[number], machine: Machine): void {
    const chance = this.#chance
    const { kernel, agent, name } = machine
    switch (trouble) {
      case 'own': {
        const own = this.#cluster.nodes.get(name)
        const mode = chance.of<RouteMode>(['auto', 'vxlan'])
        const podCIDRs = [prefix(podCIDROf(100 + chance.below(100)))]
        if (own && mode) this.#cluster.put({ ...own, mode, podCIDRs })
        return
      }
      case 'vandal':
        kernel.vandalise(chance)
        return
      case 'kill':
        agent?.die()
        return
      case 'kill-in-work':
        kernel.messagesLeft = chance.below(12)
        return
      case 'start':
        if (!agent) this.#start(machine)
        return
      case 'reboot':
        agent?.die()
        kernel.forget()
        this.#start(machine)
        return
      case 'uplink':
        kernel.setView(flipped(kernel.view()))
        return
      case 'broken-watch':
        agent?.breakWatch()
    }
  }

  /** Nodes that nobody plays: they join, leave, and change. */
  #befallStrangers(trouble: (typeof troubles)[number]): void {
    const chance = this.#chance
    const strangers = [...this.#cluster.nodes.keys()].filter((name) => name.startsWith('far-'))
    const stranger = this.#cluster.nodes.get(chance.of(strangers) ?? '')
    if (trouble === 'join') {
      const number = this.#made++
      const at = `10.${chance.below(3)}.1.${(number % 250) + 1}`
      this.#cluster.put(nodeOf(`far-${number}`, at, podCIDROf(10 + chance.below(12))))
    }
    if (!stranger) return
    switch (trouble) {
      case 'leave':
        this.#cluster.remove(stranger.name)
        return
      case 'podCIDR':
        this.#cluster.put({ ...stranger, podCIDRs: [prefix(podCIDROf(10 + chance.below(12)))] })
        return
      case 'address': {
        // into another segment, or out of it: the way changes from one mode to the other
        const at = `10.${chance.below(3)}.2.${chance.below(250) + 1}`
        this.#cluster.put({ ...stranger, addresses: [address(at)] })
        return
      }
      case 'mode': {
        const mode = chance.of<RouteMode>(['auto', 'vxlan', 'direct'])
        if (mode) this.#cluster.put({ ...stranger, mode })
      }
    }
  }

  /** Everybody is up and hears well; no more troubles. */
  #makePeace(): void {
    this.#cluster.isDown = false
    this.#cluster.isFaulty = false
    for (const machine of this.#machines) {
      machine.kernel.messagesLeft = undefined
      machine.kernel.isShort = () => false
      const up = upOf(machine.kernel.view())
      // No word to those who need none: they have to have found out by themselves.
      if (textOf(up) !== textOf(machine.kernel.view())) machine.kernel.setView(up)
      if (!machine.agent) this.#start(machine)
    }
  }

  /** Held against a weave that never saw any of the troubles. */
  #examine({ name, kernel, agent }: Machine): readonly string[] {
    const own = this.#cluster.nodes.get(name)
    const self = own && selfOf(own, kernel.view())
    if (!self || 'problem' in self) return [`${name}: it has no place in the cluster`]
    if (!agent) return [`${name}: its agent is dead`]
    const weave = new Weave()
    for (const node of this.#cluster.nodes.values())
      weave.put(weavePeer(self, node, defaultOverlay))
    const isSame = textOf(kernel.devices) === textOf(devicesOf(self, defaultOverlay))
    return [
      ...differences(name, textsOf(weave.wanted), textsOf(kernel.entries)),
      ...(isSame ? [] : [`${name}: devices are ${textOf(kernel.devices)}`]),
      ...kernel.breaches.map((breach) => `${name}: ${breach}`),
    ]
  }
}

const textsOf = (entries: ReadonlyMap<string, unknown>): ReadonlyMap<string, string> =>
  new Map([...entries].map(([key, entry]) => [key, textOf(entry)]))

const differences = (
  name: string,
  wanted: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, string>,
): readonly string[] => [
  ...[...wanted].flatMap(([key, text]) =>
    found.get(key) === text ? [] : [`${name}: ${key} is ${found.get(key) ?? 'missing'}`],
  ),
  ...[...found.keys()].flatMap((key) => (wanted.has(key) ? [] : [`${name}: ${key} is stale`])),
]

const podCIDROf = (number: number): string => `10.244.${number}.0/24`

const nodeOf = (name: string, at: string, podCIDR: string): ClusterNode => ({
  name,
  addresses: [address(at)],
  podCIDRs: [prefix(podCIDR)],
})

function address(text: string) {
  const parsed = parseAddress(text)
  if (!parsed) throw new Error(`${text} is no address`)
  return parsed
}

function prefix(text: string) {
  const parsed = parsePrefix(text)
  if (!parsed) throw new Error(`${text} is no prefix`)
  return parsed
}

/** An uplink in a /16: who has the same second byte is on its link. */
const viewOf = (at: string): HostView => ({
  links: [
    { name: 'lo', mtuBytes: 65_536, isUp: true, addresses: [prefix('127.0.0.1/8')] },
    { name: 'eth0', mtuBytes: 1500, isUp: true, addresses: [prefix(`${at}/16`)] },
  ],
})

const withUplink = ({ links }: HostView, isUp: (was: boolean) => boolean): HostView => ({
  links: links.map((link) => (link.name === 'eth0' ? { ...link, isUp: isUp(link.isUp) } : link)),
})
const flipped = (view: HostView): HostView => withUplink(view, (was) => !was)
const upOf = (view: HostView): HostView => withUplink(view, () => true)
