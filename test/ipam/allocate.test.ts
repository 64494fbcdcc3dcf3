import fc from 'fast-check'
import { test } from 'tap'
import { type Address, formatAddress, parseAddress } from '../../src/base/address.ts'
import { allocate, explainLeaseFault } from '../../src/ipam/allocate.ts'
import { listedAt, parseRanges, type RangeSet, type RangeText } from '../../src/ipam/ranges.ts'
import { holds } from '../base/law.ts'
import { type Ledger, MapLedger } from './map-ledger.ts'
import { PoolModel, type Predicted } from './pool-model.ts'

function setsOf(texts: readonly (readonly RangeText[])[]): readonly RangeSet[] {
  const parsed = parseRanges(texts, listedAt('ranges'))
  if ('fault' in parsed) throw new Error(JSON.stringify(parsed.fault))
  return parsed.sets
}

function address(text: string): Address {
  const parsed = parseAddress(text)
  if (parsed === undefined) throw new Error(`Cannot read ${text}`)
  return parsed
}

const idOf = (container: string) => ({ network: 'net', container, ifname: 'eth0' })

/** One lease as the plugin makes it: nothing is written if it is refused. */
function lease(
  ledger: Ledger,
  sets: readonly RangeSet[],
  who: string,
  requested: readonly string[],
): Predicted {
  const outcome = allocate(sets, requested.map(address), ledger.book('net'))
  if ('fault' in outcome) return { refused: outcome.fault.kind }
  ledger.hold(idOf(who), outcome.leases)
  ledger.setCursors('net', outcome.cursors)
  return { leased: outcome.leases.map((one) => formatAddress(one.address)) }
}

const pools: readonly (readonly (readonly RangeText[])[])[] = [
  [[{ subnet: '10.1.0.0/29' }]],
  [[{ subnet: '10.1.0.0/31' }]],
  [[{ subnet: '10.1.0.9/32' }]],
  [[{ subnet: 'fd00::/126' }]],
  [[{ subnet: '10.1.0.0/29', gateway: '10.1.0.4' }]],
  [[{ subnet: '10.1.0.0/24', rangeStart: '10.1.0.254', rangeEnd: '10.1.0.255' }]],
  [[{ subnet: '10.1.0.0/30' }, { subnet: '10.2.0.0/29' }]],
  [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/126' }]],
  [[{ subnet: '10.1.0.0/30' }], [{ subnet: '10.2.0.0/30' }, { subnet: '10.3.0.0/31' }]],
]

type Act =
  | { readonly kind: 'lease' | 'release'; readonly who: string }
  | { readonly kind: 'request'; readonly who: string; readonly picks: readonly number[] }

const who = fc.integer({ min: 1, max: 9 }).map((number) => `c${number}`)
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('lease' as const), who }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), who }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('request' as const),
      who,
      picks: fc.array(fc.nat(30), { minLength: 1, maxLength: 2 }),
    }),
  },
)

const nothing = { got: { leased: [] }, want: { leased: [] } }

/** Does one thing to both, and says what each made of it. */
function step(
  sets: readonly RangeSet[],
  { ledger, model }: { ledger: Ledger; model: PoolModel },
  one: Act,
): { got: Predicted; want: Predicted } {
  if (one.kind === 'release') {
    ledger.release(idOf(one.who))
    model.release(one.who)
    return nothing
  }
  // a second ADD of one attachment is refused before anything is leased
  if (model.holdsAny(one.who)) return nothing
  const choice = [...model.addresses, '10.99.0.1', 'fd99::1']
  const picks =
    one.kind === 'request' ? one.picks.map((at) => choice[at % choice.length] ?? '') : []
  const requested = [...new Set(picks)]
  return {
    got: lease(ledger, sets, one.who, requested),
    want: model.lease(one.who, requested),
  }
}

for (const texts of pools) {
  const name = texts.map((set) => set.map(({ subnet }) => subnet).join(' or ')).join(' and ')
  test(`${name}: whatever is leased, requested and released, as promised`, async (t) => {
    const sets = setsOf(texts)
    const seen = new Set<string>()
    const property = fc.property(fc.array(act, { maxLength: 60, size: 'max' }), (acts) => {
      const both = { ledger: new MapLedger(), model: new PoolModel(sets) }
      for (const one of acts) {
        const before = new Set(both.model.held)
        const { got, want } = step(sets, both, one)
        if (JSON.stringify(got) !== JSON.stringify(want))
          throw new Error(`${JSON.stringify(one)}: ${JSON.stringify({ got, want })}`)
        if ('refused' in got) seen.add(got.refused)
        else
          for (const text of got.leased)
            if (before.has(text) || both.model.isGateway(text)) throw new Error(`gave ${text}`)
      }
    })
    holds(t, property, 200)
    t.ok(seen.has('pool-full') && seen.has('address-taken'), `met: ${[...seen].join(', ')}`)
  })
}

type Step = readonly [why: string, what: string, want: string]
const rows: readonly Readonly<{
  why: string
  ranges: readonly (readonly RangeText[])[]
  steps: readonly Step[]
}>[] = [
  {
    why: 'a requested address is skipped where its turn would have come',
    ranges: [[{ subnet: '10.1.0.0/29' }]],
    steps: [
      ['asked for', 'a 10.1.0.3', '10.1.0.3'],
      ['in order', 'b', '10.1.0.2'],
      ['over it', 'c', '10.1.0.4'],
    ],
  },
  {
    why: 'a released address comes last',
    ranges: [[{ subnet: '10.1.0.0/29' }]],
    steps: [
      ['', 'a', '10.1.0.2'],
      ['', 'b', '10.1.0.3'],
      ['', '-b', ''],
      ['', '-a', ''],
      ['never used', 'c', '10.1.0.4'],
      ['never used', 'd', '10.1.0.5'],
      ['never used', 'e', '10.1.0.6'],
      ['released first', 'f', '10.1.0.3'],
      ['released then', 'g', '10.1.0.2'],
      ['all are held', 'h', 'pool-full'],
    ],
  },
  {
    why: 'a released address can be asked for at once',
    ranges: [[{ subnet: '10.1.0.0/29' }]],
    steps: [
      ['', 'a', '10.1.0.2'],
      ['', '-a', ''],
      ['a sticky pod', 'a 10.1.0.2', '10.1.0.2'],
      ['and is not given again', 'b', '10.1.0.3'],
    ],
  },
  {
    why: 'one was asked for and given back before its turn: it counts as used',
    ranges: [[{ subnet: '10.1.0.0/29' }]],
    steps: [
      ['', 'a 10.1.0.2', '10.1.0.2'],
      ['', '-a', ''],
      ['', 'b', '10.1.0.3'],
    ],
  },
  {
    why: 'one of each family, or none of either',
    ranges: [[{ subnet: '10.1.0.0/30' }], [{ subnet: 'fd00::/126' }]],
    steps: [
      ['', 'a', '10.1.0.2 fd00::2'],
      ['IPv4 has no more', 'b', 'pool-full'],
      ['', '-a', ''],
      ['so IPv6 lost none', 'b', '10.1.0.2 fd00::3'],
    ],
  },
  {
    why: 'requests are met by the set that has them, in whatever order they come',
    ranges: [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/126' }]],
    steps: [['', 'a fd00::3 10.1.0.5', '10.1.0.5 fd00::3']],
  },
  {
    why: 'what cannot be asked for',
    ranges: [[{ subnet: '10.1.0.0/29' }]],
    steps: [
      ['the gateway', 'a 10.1.0.1', 'address-is-gateway'],
      ['the broadcast address', 'a 10.1.0.7', 'address-outside'],
      ['another family', 'a fd00::2', 'address-outside'],
      ['an IPv6 address with the same number', 'a ::a01:2', 'address-outside'],
      ['two where one is given', 'a 10.1.0.2 10.1.0.3', 'address-outside'],
      ['nothing was leased', 'b', '10.1.0.2'],
      ['a held one', 'c 10.1.0.2', 'address-taken'],
    ],
  },
]

for (const { why, ranges, steps } of rows) {
  test(why, async (t) => {
    const sets = setsOf(ranges)
    const ledger = new MapLedger()
    for (const [reason, what, want] of steps) {
      const [name = '', ...requested] = what.split(' ')
      if (name.startsWith('-')) {
        ledger.release(idOf(name.slice(1)))
        continue
      }
      const got = lease(ledger, sets, name, requested)
      const text = 'refused' in got ? got.refused : got.leased.join(' ')
      t.equal(text, want, `${what} ${reason}`)
    }
  })
}

const at = address('10.1.0.9')
for (const { fault, want } of [
  {
    fault: { kind: 'pool-full', pools: ['10.1.0.2-10.1.0.9', '10.2.0.2-10.2.0.9'] },
    want: /^every address of 10\.1\.0\.2-.*9, 10\.2\.0\.2-.*9 is leased; .*GC.*widen/,
  },
  {
    fault: { kind: 'address-taken', address: at, holder: 'c7' },
    want: /^10\.1\.0\.9 is leased to c7; delete that first$/,
  },
  {
    fault: { kind: 'address-is-gateway', address: at },
    want: /^10\.1\.0\.9 is the gateway's; ask for another address$/,
  },
  {
    fault: { kind: 'address-outside', address: at, pools: ['10.2.0.2-10.2.0.9'] },
    want: /^10\.1\.0\.9 is in none of 10\.2\.0\.2-10\.2\.0\.9; ask for/,
  },
] as const) {
  test(`${fault.kind} is told in one line: what was tried, the state, the remedy`, async (t) =>
    t.match(explainLeaseFault(fault), want))
}
