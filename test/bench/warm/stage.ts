import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeNetns, type Netns } from '../../support/netns.ts'
import type { PeerId } from '../cases.ts'
import { encodeChain, encodeConf, podArguments } from '../conf.ts'
import type { Call, Contender, Verb } from '../job.ts'
import { makeNode, prepareFloor } from '../node.ts'
import type { Peer } from '../peers.ts'
import type { Label } from '../result.ts'
import { type Contenders, knows, type StageTools } from '../stage.ts'
import { AgentNode } from './agent-node.ts'
import { attachmentOf, type Outfit, type Place, type WarmCase } from './cases.ts'

/** A node, shared by all places of one peer in one outfit. */
type Home = {
  readonly node: Netns
  readonly dataDir: string
  /** Where an agent runs. */
  readonly warm?: AgentNode
}

type Placed = { readonly label: Label; readonly contender: Contender }

/** What is started for one place: all that differs between plugins, chains and the floor. */
type Program = Pick<Contender, 'executable' | 'words' | 'conf' | 'clock'> & {
  readonly verbs: readonly Verb[]
}

/** Contenders of a warm case: a node for each peer and outfit, an agent in each that is warm. */
export class WarmStage implements Contenders {
  readonly peers: readonly PeerId[]
  readonly #planned: WarmCase
  readonly #tools: StageTools
  readonly #state: string
  readonly #outside: Netns
  readonly #homes = new Map<string, Home>()
  #placed: readonly Placed[] = []

  private constructor(planned: WarmCase, tools: StageTools) {
    this.#planned = planned
    this.#tools = tools
    this.#state = mkdtempSync(join(tools.workDirectory, `${planned.id}-`))
    this.peers = planned.peers.filter((id) => tools.peers.here.has(id))
    this.#outside = makeNetns('bench-outside')
  }

  static async open(planned: WarmCase, tools: StageTools): Promise<WarmStage> {
    const stage = new WarmStage(planned, tools)
    try {
      await stage.#prepare()
      return stage
    } catch (fault) {
      await stage.close()
      throw fault
    }
  }

  get labels(): readonly Label[] {
    return this.#placed.map(({ label }) => label)
  }

  get contenders(): readonly Contender[] {
    return this.#placed.map(({ contender }) => contender)
  }

  /** A launcher that found no agent ran the executable itself: warm in name alone. */
  faultsOf(calls: readonly Call[]): readonly string[] {
    const idle = this.#placed.filter(({ contender }, place) => {
      const added = calls.filter((call) => call.contender === place && call.verb === 'ADD')
      return contender.agent !== undefined && added.some((call) => call.rssKiB > launcherKiBMax)
    })
    const variants = idle.map(({ label }) => label.variant)
    return variants.length === 0 ? [] : [`without the agent: calls of ${variants.join('; ')}`]
  }

  async close(): Promise<void> {
    const homes = [...this.#homes.values()]
    this.#homes.clear()
    await Promise.all(homes.map(({ warm }) => warm?.agent.close()))
    for (const { node } of homes) node.close()
    this.#outside.close()
    rmSync(this.#state, { recursive: true, force: true })
  }

  async #prepare(): Promise<void> {
    const here = this.#planned.places.filter(({ peer }) => this.peers.includes(peer))
    for (const place of here) {
      const key = keyOf(place)
      if (!this.#homes.has(key)) this.#homes.set(key, this.#makeHome(place))
    }
    await Promise.all([...this.#homes.values()].map(({ warm }) => warm?.start()))
    const settled = new Set<string>()
    this.#placed = here.map((place) => {
      const isFirst = !settled.has(keyOf(place))
      settled.add(keyOf(place))
      return this.#place(place, isFirst ? 'kept' : 'none')
    })
  }

  #makeHome({ peer, outfit }: Place): Home {
    const folder = join(this.#state, `home-${this.#homes.size}`)
    mkdirSync(folder)
    const node = makeNode(this.#outside, this.#homes.size)
    try {
      if (peer === 'floor') prepareFloor(node, attachmentOf(outfit))
      if (peer !== 'warm') return { node, dataDir: folder }
      const warm = new AgentNode(node, folder)
      return { node, dataDir: warm.dataDir, warm }
    } catch (fault) {
      node.close()
      throw fault
    }
  }

  #place(place: Place, resident: Contender['resident']): Placed {
    const { peer: id, burst, variant, rounds } = place
    const peer = this.#tools.peers.here.get(id)!
    const home = this.#homes.get(keyOf(place))!
    const program = this.#programOf(place, peer, home)
    const verbs = this.#planned.verbs.filter((verb) => program.verbs.includes(verb))
    const environment = {
      PATH: this.#tools.paths.nft,
      CNI_PATH: peer.directory,
      CNI_IFNAME: 'eth0',
      CNI_ARGS: podArguments,
    }
    const agent = home.warm?.agent.pid
    return {
      label: { peer: id, variant, verbs },
      contender: {
        ...program,
        ...{ name: `${id} ${variant}`, environment, node: home.node.path, verbs, burst, resident },
        ...(rounds === undefined ? {} : { rounds }),
        ...(agent === undefined ? {} : { agent }),
      },
    }
  }

  #programOf({ outfit, burst }: Place, peer: Peer, { dataDir, warm }: Home): Program {
    const verbs = allVerbs.filter((verb) => knows(peer, verb))
    const clock = 'exec-to-exit'
    const attachment = attachmentOf(outfit)
    const { wiring, masquerade, families } = attachment
    const conf = encodeConf(dialectOf(peer), peer.cniVersion, attachment, dataDir)
    if (peer.id === 'floor')
      return {
        ...{ executable: peer.executable(), words: [wiring, masquerade, families], conf, verbs },
        // Of several at once the time is until the last has ended, their starts too.
        clock: burst === 1 ? 'inside' : clock,
      }
    const plugin = warm?.launcher ?? peer.executable(attachment)
    if (outfit !== 'full') return { executable: plugin, words: [], conf, clock, verbs }
    const chain = encodeChain(dialectOf(peer), peer.cniVersion, families, dataDir)
    const words = chain.flatMap(([name, text]) => [join(peer.directory, name), text])
    if (dialectOf(peer) === 'reference')
      return {
        ...{ executable: this.#tools.chain, words, conf: '{}', clock },
        verbs: verbs.filter((verb) => verb !== 'VERSION'),
      }
    return { executable: plugin, words: [], conf: withPolicy(chain[0]![1], warm), clock, verbs }
  }
}

const allVerbs = ['VERSION', 'STATUS', 'ADD', 'CHECK', 'DEL'] as const

/** The executable takes twice as much; a launcher shows a few MB, which are the harness's own. */
const launcherKiBMax = 20_480

const keyOf = ({ peer, outfit }: { readonly peer: PeerId; readonly outfit: Outfit }): string =>
  `${peer} ${outfit}`

const dialectOf = (peer: Peer): 'tulle' | 'reference' =>
  peer.id === 'tulle' || peer.id === 'warm' ? 'tulle' : 'reference'

/** Policies hold where there is somebody to compile them. @PORT@ makes it no JSON yet. */
const withPolicy = (conf: string, warm: AgentNode | undefined): string =>
  warm === undefined
    ? conf
    : `${conf.slice(0, -1)},"policy":${JSON.stringify({ enforce: true, runDir: warm.runDir })}}`
