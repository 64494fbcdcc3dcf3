import { parseAddress } from '../../src/base/address.ts'
import type { BlockSpans, Program, Reach, Spans } from '../../src/policy/program.ts'

// A program read as its types say, in few words and slowly: what the kernel is held against.

export type Connection = {
  readonly source: string
  readonly target: string
  readonly protocol: number
  readonly port: number
  /** Addresses of the node itself. */
  readonly node?: readonly string[]
}

export function passes(of: Program, connection: Connection): boolean {
  const { source, target, node = [] } = connection
  const side = (own: string, direction: 'ingress' | 'egress', peer: string): boolean => {
    const found = of.profiles.get(of.subjects.get(own)?.[direction] ?? '')
    if (!found || own === peer || (direction === 'ingress' && node.includes(peer))) return true
    const isMeant = (reach: Reach): boolean => isIn(of, reach, peer, connection)
    if (found.denies.some(({ reach }) => isMeant(reach))) return false
    return !found.isIsolated || isMeant(found.allows)
  }
  return side(source, 'egress', target) && side(target, 'ingress', source)
}

function isIn(of: Program, reach: Reach, peer: string, connection: Connection): boolean {
  const { protocol, port, node = [] } = connection
  const asks = (all: Spans): boolean =>
    all.some(
      (one) =>
        one.firstProtocol <= protocol &&
        protocol <= one.lastProtocol &&
        one.firstPort <= port &&
        port <= one.lastPort,
    )
  const address = parseAddress(peer)
  const inBlocks = (blocks: readonly BlockSpans[]): boolean =>
    blocks.some(
      ({ family, first, last, spans }) =>
        address?.family === family &&
        first <= address.value &&
        address.value <= last &&
        asks(spans),
    )
  const identity = of.identities.get(peer)
  const isKnown = identity !== undefined
  return (
    asks(reach.anybody) ||
    (node.includes(peer) && asks(reach.ownNode)) ||
    (isKnown && identity >= 256 && asks(reach.pods)) ||
    (isKnown && asks(reach.identities.get(identity) ?? [])) ||
    inBlocks(reach.blocks) ||
    (!isKnown && inBlocks(reach.world))
  )
}
