import { addressBytes, addressKey } from '../base/address.ts'
import type { ListedRule, ListedTable } from '../wire/nft/listed-table.ts'
import { type Machine, type Passage, pass } from '../wire/nft/machine.ts'
import {
  type ConnectionFacts,
  type PacketFacts,
  UnknownExpression,
} from '../wire/nft/packet-facts.ts'
import type { Endpoint } from './endpoint.ts'

/** What a node's kernel is asked with. */
export type KernelRun = {
  readonly machine: Machine
  /** By `addressKey`: the node's own. */
  readonly isLocal: ReadonlySet<string>
  readonly staleMark: number
  /** Rules that were come to and can't be followed. */
  readonly unknown: Set<string>
}

export type FlowFacts = {
  readonly source: Endpoint
  readonly target: Endpoint
  readonly protocol: number
  readonly port: number
}

export type KernelVerdict = {
  /** Of a connection's packets: all of them, or which. */
  readonly verdict: 'passes' | 'drops' | 'drops replies' | 'passes replies' | 'passes some'
  /** The rule that dropped one, else the one that let the first pass. */
  readonly by?: ListedRule
  readonly trace: readonly ListedRule[]
}

/** Undefined where it comes to a rule that can't be followed. */
export function kernelVerdict(flow: FlowFacts, run: KernelRun): KernelVerdict | undefined {
  try {
    const passages = ways.map((way): Passage => {
      const packet = packetOf(flow, way, run)
      const isForHost = packet.addressType(packet.target) === RTN_LOCAL
      return pass(run.machine, isForHost ? 'input' : 'postrouting', packet)
    })
    const [first, later, reply] = passages.map(({ verdict }) => verdict === 'accept')
    const decided = passages.find(({ verdict }) => verdict === 'drop') ?? passages[0]
    const { by, trace = [] } = decided ?? {}
    return { verdict: wordOf({ first, later, reply }), trace, ...(by ? { by } : {}) }
  } catch (refusal) {
    if (!(refusal instanceof UnknownExpression)) throw refusal
    run.unknown.add(refusal.message)
    return undefined
  }
}

function wordOf(passes: Readonly<Record<'first' | 'later' | 'reply', boolean | undefined>>) {
  const { first, later, reply } = passes
  if (first !== later) return 'passes some'
  if (first === reply) return first ? 'passes' : 'drops'
  return first ? 'drops replies' : 'passes replies'
}

const ways = [
  { state: 'new', direction: 'original' },
  // as they are behind a change of policies: judged again (P36)
  { state: 'established', direction: 'original' },
  { state: 'established', direction: 'reply' },
] as const

const RTN_UNICAST = 1
const RTN_LOCAL = 2
const clientPort = 50_000

function packetOf(
  { source, target, protocol, port }: FlowFacts,
  { state, direction }: (typeof ways)[number],
  { isLocal, staleMark: mark }: KernelRun,
): PacketFacts {
  const [from, to] = [addressBytes(source.address), addressBytes(target.address)]
  const original = { source: from, target: to, sourcePort: clientPort, targetPort: port }
  const reply = { source: to, target: from, sourcePort: port, targetPort: clientPort }
  const connection: ConnectionFacts = { state, direction, original, reply, mark }
  const local = (address: Uint8Array): boolean =>
    isLocal.has(addressKey((address === from ? source : target).address))
  return {
    ...(direction === 'original' ? original : reply),
    family: source.address.family,
    protocol,
    connection,
    addressType: (address) => (local(address) ? RTN_LOCAL : RTN_UNICAST),
    input: '',
    output: '',
    mark: 0,
  }
}

const NFT_CT_MARK = 3
/** The low bits of a connection's mark are others'. */
const generationStep = 0x1000

/** A mark that no rule of the table asks for: that of a connection from before every change. */
export function staleMark({ rules }: ListedTable): number {
  const asked = new Set(
    rules
      .filter(({ expressions }) =>
        expressions.some((one) => one.name === 'ct' && one.key === NFT_CT_MARK),
      )
      .flatMap(({ expressions }) =>
        expressions.flatMap((one) =>
          one.name === 'cmp' && one.value.length === 4
            ? [new DataView(one.value.slice().buffer).getUint32(0, true)]
            : [],
        ),
      ),
  )
  let mark = 0
  while (asked.has(mark)) mark += generationStep
  return mark
}
