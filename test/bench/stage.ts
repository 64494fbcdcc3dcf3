import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeNetns, type Netns } from '../support/netns.ts'
import {
  type AttachCase,
  type Case,
  type ChainCase,
  mappingsLabel,
  type PeerId,
  type PortsCase,
  type Variant,
} from './cases.ts'
import { encodeChain, encodeConf, encodePorts, podArguments } from './conf.ts'
import type { Call, Contender, Verb } from './job.ts'
import { fillLeases, isBeyondFilled } from './leases.ts'
import { makeNode, prepareFloor } from './node.ts'
import type { Peer, Peers } from './peers.ts'
import {
  echoHostPort,
  makePortsNode,
  nextHostPort,
  nodeAddress,
  type PortsNode,
} from './ports-node.ts'
import { type Label, residentAdds } from './result.ts'
import type { FloorCase, WarmCase } from './warm/cases.ts'

/** Contenders of a case, ready for the harness. */
export interface Contenders {
  /** Columns. */
  readonly peers: readonly PeerId[]
  /** Whose calls are which rows, in the order of the contenders. */
  readonly labels: readonly Label[]
  readonly contenders: readonly Contender[]
  /** What keeps the calls from meaning what their rows say. */
  faultsOf(calls: readonly Call[]): readonly string[]
  close(): void | Promise<void>
}

type StagedCase = Exclude<Case, WarmCase | FloorCase>

/** What every stage of a run shares. */
export type StageTools = {
  readonly peers: Peers
  readonly workDirectory: string
  /** PATH of every program, by what `iptables` is in it. */
  readonly paths: Readonly<Record<'nft' | 'legacy', string>>
  /** Runs a chain of plugins. */
  readonly chain: string
  /** Asks for round trips. */
  readonly rtt: string
}

type Placed = { readonly label: Label; readonly contender: Contender; readonly leases: number }

/**
 * The contenders of one case with all that they need on this machine: a node each, a store each.
 * Everything is gone after `close()`, which may be called twice.
 */
export class Stage implements Contenders {
  readonly peers: readonly PeerId[]
  readonly #placed: Placed[] = []
  readonly #namespaces: Netns[] = []
  readonly #portsNodes: PortsNode[] = []
  readonly #state: string
  readonly #path: string

  constructor(planned: StagedCase, { peers, workDirectory, paths, chain, rtt }: StageTools) {
    this.#state = mkdtempSync(join(workDirectory, `${planned.id}-`))
    this.#path = paths[planned.kind === 'chain' ? planned.iptables : 'nft']
    this.peers = columnsOf(planned).filter((id) => peers.here.has(id))
    const present = this.peers.flatMap((id) => peers.here.get(id) ?? [])
    try {
      if (planned.kind === 'start') for (const peer of present) this.#placeStart(peer)
      else if (planned.kind === 'chain') this.#placeChains(planned, present, chain)
      else if (planned.kind === 'ports')
        for (const peer of present) this.#placePorts(planned, peer, rtt)
      else this.#placeAttached(planned, present)
    } catch (fault) {
      this.close()
      throw fault
    }
  }

  get labels(): readonly Label[] {
    return this.#placed.map(({ label }) => label)
  }

  get contenders(): readonly Contender[] {
    return this.#placed.map(({ contender }) => contender)
  }

  /** Contenders that were to find a full store and did not read it. */
  faultsOf(calls: readonly Call[]): readonly string[] {
    return residentAdds(calls).flatMap((call) => {
      const placed = this.#placed[call.contender]
      if (placed === undefined || placed.leases === 0 || call.failed > 0) return []
      if (isBeyondFilled(call.stdout ?? '', placed.leases)) return []
      return [`${placed.label.peer} did not read the ${placed.leases} leases of its store`]
    })
  }

  close(): void {
    for (const node of this.#portsNodes.splice(0)) node.close()
    for (const namespace of this.#namespaces.splice(0)) namespace.close()
    rmSync(this.#state, { recursive: true, force: true })
  }

  /** As libcni asks for VERSION: every value a dummy. */
  #placeStart(peer: Peer): void {
    const isPlugin = peer.id !== 'node' && peer.id !== 'script'
    this.#placed.push({
      leases: 0,
      label: { peer: peer.id, variant: '', verbs: ['VERSION'] },
      contender: {
        name: peer.id,
        executable: peer.executable(),
        words: peer.words,
        environment: {
          PATH: this.#path,
          CNI_PATH: 'dummy',
          CNI_IFNAME: 'dummy',
          CNI_NETNS: 'dummy',
        },
        conf: isPlugin ? `{"cniVersion":"${peer.cniVersion}"}` : '',
        verbs: ['VERSION'],
        burst: 1,
        clock: 'exec-to-exit',
        resident: 'none',
      },
    })
  }

  #placeAttached(planned: AttachCase, present: readonly Peer[]): void {
    const outside = this.#keep(makeNetns('bench-outside'))
    for (const variant of planned.variants)
      for (const peer of present) {
        const node = this.#keep(makeNode(outside, this.#placed.length))
        if (peer.id === 'floor') prepareFloor(node, planned.attachment)
        this.#placed.push(this.#attached(planned, variant, peer, node))
      }
  }

  #placeChains(planned: ChainCase, present: readonly Peer[], chain: string): void {
    const outside = this.#keep(makeNetns('bench-outside'))
    for (const peer of present) {
      const node = this.#keep(makeNode(outside, this.#placed.length))
      const store = join(this.#state, `store-${this.#placed.length}`)
      mkdirSync(store)
      const dialect = peer.id === 'tulle' ? 'tulle' : 'reference'
      const plugins = encodeChain(dialect, peer.cniVersion, planned.families, store)
      const verbs = ['ADD', 'CHECK', 'DEL'] as const
      this.#placed.push({
        leases: 0,
        label: { peer: peer.id, variant: '', verbs },
        contender: {
          name: peer.id,
          executable: chain,
          words: plugins.flatMap(([name, conf]) => [join(peer.directory, name), conf]),
          environment: this.#environment(peer),
          conf: '{}',
          node: node.path,
          verbs,
          burst: 1,
          clock: 'exec-to-exit',
          resident: 'kept',
        },
      })
    }
  }

  #placePorts(planned: PortsCase, peer: Peer, rtt: string): void {
    const executable = peer.executable()
    for (const mappings of planned.mappings) {
      const store = join(this.#state, `store-${this.#placed.length}`)
      mkdirSync(store)
      const place = makePortsNode({ executable, rtt, store, mappings })
      this.#portsNodes.push(place)
      const next = { hostPort: nextHostPort, containerPort: 80, protocol: 'tcp' }
      const variant = mappingsLabel(mappings)
      const shared = { burst: 1, resident: 'none', environment: this.#environment(peer) } as const
      const [plugin, packet] = [['ADD', 'DEL'] as const, ['RTT'] as const]
      this.#placed.push({
        leases: 0,
        label: { peer: peer.id, variant, verbs: plugin },
        contender: {
          ...shared,
          name: `${peer.id} ${variant}`,
          executable,
          words: [],
          conf: encodePorts(store, next),
          node: place.node.path,
          verbs: plugin,
          clock: 'exec-to-exit',
        },
      })
      this.#placed.push({
        leases: 0,
        label: { peer: peer.id, variant, verbs: packet },
        contender: {
          ...shared,
          name: `rtt ${variant}`,
          executable: rtt,
          words: ['ask', nodeAddress, echoHostPort, '300'],
          conf: '',
          node: place.outside.path,
          verbs: packet,
          clock: 'inside',
        },
      })
    }
  }

  #environment({ directory }: Peer): Readonly<Record<string, string>> {
    return {
      PATH: this.#path,
      CNI_PATH: directory,
      CNI_IFNAME: 'eth0',
      CNI_ARGS: podArguments,
    }
  }

  #attached(planned: AttachCase, variant: Variant, peer: Peer, node: Netns): Placed {
    const { wiring, masquerade, families } = planned.attachment
    const store = join(this.#state, `store-${this.#placed.length}`)
    mkdirSync(store)
    fillLeases(store, variant.leases)
    const dialect = peer.id === 'tulle' ? 'tulle' : 'reference'
    const verbs = planned.verbs.filter((verb) => knows(peer, verb))
    return {
      leases: variant.leases,
      label: { peer: peer.id, variant: variant.label, verbs },
      contender: {
        name: `${peer.id} ${variant.label}`,
        executable: peer.executable(planned.attachment),
        words: peer.id === 'floor' ? [wiring, masquerade, families] : peer.words,
        environment: this.#environment(peer),
        conf: encodeConf(dialect, peer.cniVersion, planned.attachment, store),
        node: node.path,
        verbs,
        burst: variant.burst,
        clock: peer.id === 'floor' ? 'inside' : 'exec-to-exit',
        resident: 'kept',
      },
    }
  }

  #keep(namespace: Netns): Netns {
    this.#namespaces.push(namespace)
    return namespace
  }
}

function columnsOf(planned: StagedCase): readonly PeerId[] {
  if (planned.kind === 'start') return ['tulle', 'node', 'script', 'newest', 'debian']
  return planned.kind === 'ports' ? ['tulle'] : planned.peers
}

/** STATUS is of CNI 1.1.0; the kernel has no verbs but the two that change it. */
export function knows(peer: Peer, verb: Verb): boolean {
  if (peer.id === 'floor') return verb === 'ADD' || verb === 'DEL'
  return verb !== 'STATUS' || !/^(0|1\.0)\./.test(peer.cniVersion)
}
