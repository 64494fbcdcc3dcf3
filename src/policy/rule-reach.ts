import { unreachable } from '../base/unreachable.ts'
import type { EndpointSelector } from '../cluster/endpoint-selector.ts'
import type { Transport } from '../cluster/policy-port.ts'
import { type Block, sweep } from './blocks.ts'
import { wordOf } from './mentions.ts'
import type { Peer, Rule } from './model.ts'
import type { PodClass } from './pod-classes.ts'
import {
  everything,
  firstPodIdentity,
  type Identity,
  nodeIdentity,
  type Reach,
  type Span,
  type Spans,
} from './program.ts'
import { canonical, covers, isEverything, nothing, remembered, spanOf, union } from './spans.ts'

export type RuleContext = {
  /** The classes of pods that a selector means. */
  readonly select: (selector: EndpointSelector) => readonly PodClass[]
  /** The subject's own numbers by the word of a port: what names mean on ingress. */
  readonly ownPorts: ReadonlyMap<string, readonly number[]>
}

export const noReach: Reach = {
  anybody: nothing,
  pods: nothing,
  ownNode: nothing,
  identities: new Map(),
  blocks: [],
  world: [],
}

/** All that rules of one direction mean together (P12): order and repetition don't show. */
export function reachOf(rules: readonly Rule[], context: RuleContext): Reach {
  const sum = new Sum()
  for (const rule of rules) {
    const { numbers, words } = portsOf(rule, context)
    for (const peer of rule.peers) addPeer(sum, peer, numbers, words, context)
  }
  return sum.reach()
}

/** A port's name that each destination resolves for itself (P19). */
type Word = { readonly protocol: Transport; readonly word: string }
type Ports = { readonly numbers: Spans; readonly words: readonly Word[] }

function portsOf({ ports, direction }: Rule, { ownPorts }: RuleContext): Ports {
  if (!ports) return { numbers: [everything], words: [] }
  const spans: Span[] = []
  const words: Word[] = []
  for (const port of ports) {
    const { protocol } = port
    const word = wordOf(port)
    if (word === undefined) spans.push(...numbered(port))
    else if (direction === 'egress') words.push({ protocol, word })
    else spans.push(...(ownPorts.get(word) ?? []).map((number) => spanOf(protocol, number)))
  }
  return { numbers: canonical(spans), words }
}

function numbered(port: NonNullable<Rule['ports']>[number]): readonly Span[] {
  switch (port.kind) {
    case 'all':
      return [spanOf(port.protocol, everything.firstPort, everything.lastPort)]
    case 'range':
      return [spanOf(port.protocol, port.first, port.last)]
    case 'name':
      return []
    default:
      return unreachable(port)
  }
}

function addPeer(
  sum: Sum,
  peer: Peer,
  numbers: Spans,
  words: readonly Word[],
  { select }: RuleContext,
): void {
  switch (peer.kind) {
    case 'anybody':
      sum.anybody = union(sum.anybody, numbers)
      sum.addWords(words.length > 0 ? select([]) : [], words)
      return
    case 'pods': {
      const classes = peer.selector.length > 0 || words.length > 0 ? select(peer.selector) : []
      if (peer.selector.length === 0) sum.pods = union(sum.pods, numbers)
      else for (const { identity } of classes) sum.add(identity, numbers)
      sum.addWords(classes, words)
      return
    }
    case 'own-node':
      sum.ownNode = union(sum.ownNode, numbers)
      return
    case 'other-nodes':
      sum.add(nodeIdentity, numbers)
      return
    case 'block': {
      const blocks = peer.of === 'world' ? sum.world : sum.blocks
      blocks.push({ cidr: peer.cidr, except: peer.except, spans: numbers })
      return
    }
    default:
      unreachable(peer)
  }
}

/** A reach in the making. Many identities come by the same spans: each union is made once. */
class Sum {
  anybody = nothing
  pods = nothing
  ownNode = nothing
  readonly blocks: Block[] = []
  readonly world: Block[] = []
  readonly #identities = new Map<Identity, Spans>()
  readonly #union = remembered(union)
  readonly #ports = new Map<string, Spans>()

  add(identity: Identity, spans: Spans): void {
    if (spans.length === 0) return
    const before = this.#identities.get(identity)
    this.#identities.set(identity, before ? this.#union(before, spans) : spans)
  }

  addWords(classes: readonly PodClass[], words: readonly Word[]): void {
    for (const { protocol, word } of words)
      for (const { identity, ports } of classes)
        for (const number of ports.get(word) ?? []) this.add(identity, this.#port(protocol, number))
  }

  /** Without what is said already: who is anybody, or any pod, need not be named. */
  reach(): Reach {
    const { anybody } = this
    if (isEverything(anybody)) return { ...noReach, anybody }
    const unless = (outer: Spans, inner: Spans): Spans => (covers(outer, inner) ? nothing : inner)
    const pods = unless(anybody, this.pods)
    const ofPods = union(anybody, pods)
    const isNews = answered((spans) => !covers(anybody, spans))
    const isNewsOfPods = answered((spans) => !covers(ofPods, spans))
    const blocks = sweep(this.blocks.filter(({ spans }) => isNews(spans)))
    return {
      ...{ anybody, pods, ownNode: unless(anybody, this.ownNode) },
      identities: new Map(
        [...this.#identities]
          .filter(([identity, spans]) =>
            identity >= firstPodIdentity ? isNewsOfPods(spans) : isNews(spans),
          )
          .sort(([left], [right]) => left - right),
      ),
      blocks,
      world: sweep(this.world.filter(({ spans }) => isNews(spans))),
    }
  }

  #port(protocol: Transport, number: number): Spans {
    const word = `${protocol}/${number}`
    const spans = this.#ports.get(word) ?? [spanOf(protocol, number)]
    this.#ports.set(word, spans)
    return spans
  }
}

function answered(ask: (spans: Spans) => boolean): (spans: Spans) => boolean {
  const answers = new Map<Spans, boolean>()
  return (spans) => {
    const answer = answers.get(spans) ?? ask(spans)
    answers.set(spans, answer)
    return answer
  }
}
