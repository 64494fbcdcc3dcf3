import { isDeepStrictEqual } from 'node:util'
import { addressFromBytes, formatAddress } from '../../base/address.ts'
import { admitChain, currentChain, policyChains, policySets } from '../../datapath/policy-table.ts'
import { decodeListedRule, type ListedRule, type ListedTable } from '../../wire/nft/listed-table.ts'
import { newRule } from '../../wire/nft/table.ts'

/** Something about a node's table that is not as it should be, whatever flows it changes. */
export type Fault = {
  readonly kind:
    | 'no-table'
    | 'foreign-rule'
    | 'missing-rule'
    | 'foreign-chain'
    | 'stale-profile'
    | 'missing-set'
    | 'missing-element'
    | 'unknown-rule'
  readonly text: string
}

/** Chains whose rules change with every generation. */
const changing = new Set([currentChain, admitChain])

/** The table without the policies' own: what ADD makes and nobody changes. */
export function faultsOf(table: ListedTable): readonly Fault[] {
  const skeleton = new Map(policyChains().map(({ name, rules }) => [name.chain, { name, rules }]))
  const reached = chainsReached(table, new Set(skeleton.keys()))
  const byChain = Map.groupBy(table.rules, ({ chain }) => chain)
  return [
    ...policySets.flatMap(({ set }) =>
      table.sets.some(({ name }) => name === set)
        ? []
        : [{ kind: 'missing-set' as const, text: `set ${set} is not there` }],
    ),
    ...lackingElements(table),
    ...[...skeleton.values()].flatMap(({ name, rules }) =>
      changing.has(name.chain)
        ? []
        : chainFaults(
            name.chain,
            rules.map((rule) => decodeListedRule(newRule(name, rule).body)),
            byChain.get(name.chain) ?? [],
          ),
    ),
    ...table.chains.flatMap(({ name, base }): readonly Fault[] => {
      if (skeleton.has(name)) return []
      if (base) return [{ kind: 'foreign-chain', text: `chain ${name} with a hook is not Tulle's` }]
      if (reached.has(name) || reached.has(profileOf(name))) return []
      return [{ kind: 'stale-profile', text: `chain ${name}: no pod's packets come there` }]
    }),
    ...table.rules.flatMap((rule): readonly Fault[] =>
      rule.comment === undefined && !skeleton.has(rule.chain) ? [foreign(rule)] : [],
    ),
    ...[...changing].flatMap((chain) =>
      (byChain.get(chain) ?? []).filter(({ comment }) => comment === undefined).map(foreign),
    ),
  ]
}

/**
 * Sets that have the same addresses: what has a verdict is closed without one, and who has a number
 * is known.
 */
const together = [
  { has: ['egress', 'ingress', 'itself'], needs: 'policed' },
  { has: ['egress', 'ingress'], needs: 'itself' },
  { has: ['identity'], needs: 'known' },
  { has: ['known'], needs: 'identity' },
] as const

function lackingElements({ sets }: ListedTable): readonly Fault[] {
  const addressesIn = (name: string): ReadonlySet<string> => {
    const bytes = name.endsWith('4') ? 4 : 16
    const elements = sets.find((set) => set.name === name)?.elements ?? []
    const addresses = elements.flatMap(
      ({ key }) => (key && addressFromBytes(key.subarray(0, bytes))) ?? [],
    )
    return new Set(addresses.map(formatAddress))
  }
  return together.flatMap(({ has, needs }) =>
    ([4, 6] as const).flatMap((family) => {
      const there = addressesIn(`${needs}${family}`)
      const wanted = new Set(has.flatMap((set) => [...addressesIn(`${set}${family}`)]))
      return [...wanted]
        .filter((address) => !there.has(address))
        .map(
          (address): Fault => ({
            kind: 'missing-element',
            text: `set ${needs}${family} lacks ${address}, which ${has.join(', ')} know`,
          }),
        )
    }),
  )
}

/** A profile's other chains need not be come to: a deny may mean nobody. */
const profileOf = (chain: string): string => /(?:in|out)-[0-9a-f]+$/.exec(chain)?.[0] ?? chain

const foreign = ({ chain, handle, comment }: ListedRule): Fault => ({
  kind: 'foreign-rule',
  text: `chain ${chain} has rule ${handle} "${comment ?? ''}", which is not Tulle's`,
})

/** Both in order, as the order decides what a packet meets. */
function chainFaults(
  chain: string,
  wanted: readonly ListedRule[],
  there: readonly ListedRule[],
): readonly Fault[] {
  const faults: Fault[] = []
  const miss = (from: number, to: number): void => {
    for (const { comment } of wanted.slice(from, to))
      faults.push({ kind: 'missing-rule', text: `chain ${chain} lacks the rule "${comment}"` })
  }
  let next = 0
  for (const rule of there) {
    const at = wanted.findIndex((one, index) => index >= next && isSame(one, rule))
    if (at < 0) faults.push(foreign(rule))
    else {
      miss(next, at)
      next = at + 1
    }
  }
  miss(next, wanted.length)
  return faults
}

const isSame = (one: ListedRule, other: ListedRule): boolean =>
  one.comment === other.comment && isDeepStrictEqual(one.expressions, other.expressions)

/** Chains that a rule or an element leads to, from the skeleton's. */
function chainsReached(
  { rules, sets }: ListedTable,
  from: ReadonlySet<string>,
): ReadonlySet<string> {
  const byElement = sets.flatMap(({ elements }) =>
    elements.flatMap(({ verdict }) => (verdict && 'chain' in verdict ? [verdict.chain] : [])),
  )
  const reached = new Set([...from, ...byElement])
  const byChain = Map.groupBy(rules, ({ chain }) => chain)
  for (const chain of reached)
    for (const { expressions } of byChain.get(chain) ?? [])
      for (const one of expressions)
        if (one.name === 'verdict' && 'chain' in one.verdict) reached.add(one.verdict.chain)
  return reached
}
