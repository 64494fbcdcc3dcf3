import { addressBytes, parseAddress } from '../base/address.ts'
import { hostOrder } from '../base/bytes.ts'
import type { BlockSpans, Identity, Reach, Span, Spans } from '../policy/program.ts'
import type { PlainElement } from '../wire/nft/element-list.ts'
import { concatenate, type KeyType } from '../wire/nft/set.ts'

/** What the sets of a chain hold: one for each way to be meant, and each way to ask for ports. */
export type PolicySet = {
  readonly set: string
  readonly key: readonly KeyType[]
  /** Each part of an element is a range. */
  readonly interval?: true
  readonly elements: readonly PlainElement[]
}

export const identityBytes = (identity: Identity): Uint8Array => hostOrder(identity)

export function bytesOfAddress(text: string): Uint8Array {
  const address = parseAddress(text)
  if (!address) throw new Error(`Cannot read ${JSON.stringify(text)} as an address`)
  return addressBytes(address)
}

/** How ports are asked for: not at all, by a look-up, or by one in ranges. */
export type Ports = 'whole' | 'exact' | 'ranges'

export const setName = (chain: string, form: string, ports: Ports): string =>
  `${chain}.${form}.${ports}`

const isEverything = ({ firstProtocol, lastProtocol, firstPort, lastPort }: Span): boolean =>
  firstProtocol === 0 && lastProtocol === 255 && firstPort === 0 && lastPort === 65_535

const isExact = ({ firstProtocol, lastProtocol, firstPort, lastPort }: Span): boolean =>
  firstProtocol === lastProtocol && firstPort === lastPort

export const portsOf = (span: Span): Ports =>
  isEverything(span) ? 'whole' : isExact(span) ? 'exact' : 'ranges'

const service = ['inet_proto', 'inet_service'] as const
const firstOf = ({ firstProtocol, firstPort }: Span): Uint8Array =>
  serviceBytes(firstProtocol, firstPort)
const lastOf = ({ lastProtocol, lastPort }: Span): Uint8Array =>
  serviceBytes(lastProtocol, lastPort)

/** Protocol and port, each padded to a register. */
const serviceBytes = (protocol: number, port: number): Uint8Array =>
  Uint8Array.of(protocol, 0, 0, 0, port >>> 8, port, 0, 0)

/** Of a way to be meant that needs no element of its own: `whole` has no set. */
function spanSets(chain: string, form: string, spans: Spans): readonly PolicySet[] {
  const exact = spans.filter((span) => portsOf(span) === 'exact')
  const ranges = spans.filter((span) => portsOf(span) === 'ranges')
  return nonEmpty([
    {
      set: setName(chain, form, 'exact'),
      key: service,
      elements: exact.map((span) => ({ key: firstOf(span) })),
    },
    {
      set: setName(chain, form, 'ranges'),
      key: service,
      interval: true,
      elements: ranges.map((span) => ({ key: firstOf(span), end: lastOf(span) })),
    },
  ])
}

const nonEmpty = (sets: readonly PolicySet[]): readonly PolicySet[] =>
  sets.filter(({ elements }) => elements.length > 0)

function identitySets(chain: string, all: Reach['identities']): readonly PolicySet[] {
  const byPorts: Record<Ports, PlainElement[]> = { whole: [], exact: [], ranges: [] }
  for (const [identity, spans] of all) {
    const number = identityBytes(identity)
    for (const span of spans) {
      const ports = portsOf(span)
      if (ports === 'whole') byPorts.whole.push({ key: number })
      else if (ports === 'exact') byPorts.exact.push({ key: concatenate([number, firstOf(span)]) })
      else
        byPorts.ranges.push({
          key: concatenate([number, firstOf(span)]),
          end: concatenate([number, lastOf(span)]),
        })
    }
  }
  const named = (ports: Ports): string => setName(chain, 'identities', ports)
  return nonEmpty([
    { set: named('whole'), key: ['mark'], elements: byPorts.whole },
    { set: named('exact'), key: ['mark', ...service], elements: byPorts.exact },
    { set: named('ranges'), key: ['mark', ...service], interval: true, elements: byPorts.ranges },
  ])
}

/** Ranges of addresses are sought together with protocol and port, whatever they ask for. */
const blockSets = (
  chain: string,
  form: 'blocks' | 'world',
  blocks: readonly BlockSpans[],
): readonly PolicySet[] =>
  nonEmpty(
    ([4, 6] as const).map((family) => ({
      set: setName(chain, `${form}${family}`, 'ranges'),
      key: [family === 4 ? 'ipv4_addr' : 'ipv6_addr', ...service] as const,
      interval: true,
      elements: blocks
        .filter((block) => block.family === family)
        .flatMap(({ first, last, spans }) => {
          const [from, to] = [first, last].map((value) => addressBytes({ family, value }))
          return spans.map((span) => ({
            key: concatenate([from ?? none, firstOf(span)]),
            end: concatenate([to ?? none, lastOf(span)]),
          }))
        }),
    })),
  )
const none = new Uint8Array(0)

/** Ways to be meant that ask for no port, and so for no set. */
export const wholeForms = (reach: Reach): readonly string[] => [
  ...(isWhole(reach.anybody) ? ['anybody'] : []),
  ...(isWhole(reach.pods) ? ['pods'] : []),
  ...(isWhole(reach.ownNode) ? ['own-node'] : []),
]
const isWhole = (spans: Spans): boolean => spans.some((span) => portsOf(span) === 'whole')

/** Every set that the rules of a reach look into, under the name of their chain. */
export const setsOfReach = (chain: string, reach: Reach): readonly PolicySet[] => [
  ...spanSets(chain, 'anybody', reach.anybody),
  ...spanSets(chain, 'pods', reach.pods),
  ...spanSets(chain, 'own-node', reach.ownNode),
  ...identitySets(chain, reach.identities),
  ...blockSets(chain, 'blocks', reach.blocks),
  ...blockSets(chain, 'world', reach.world),
]
