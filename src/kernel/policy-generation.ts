import { hostOrder } from '../base/bytes.ts'
import { admitChain, currentChain, policyTable } from '../datapath/policy-table.ts'
import type { Query } from '../wire/netlink/message.ts'
import { connection, markConnection } from '../wire/nft/connection.ts'
import { equals, mask, register, verdict } from '../wire/nft/expression.ts'
import { flushChain, newRule } from '../wire/nft/table.ts'

/**
 * The upper 20 bits of a connection's mark: the generation of policies that allowed it. The others
 * are left as they are. Of another generation it is judged again, by its next packet.
 */
const shift = 12
const generationsMax = 0xfffff
export const generationMask = 0xfffff000

const comment = 'generation '

/** A connection that nothing allowed has 0. */
export const nextGeneration = (generation: number): number => (generation % generationsMax) + 1

/** @param chance 0 ≤ chance < 1 */
export const drawGeneration = (chance: number): number => 1 + Math.floor(chance * generationsMax)

/** From then on only what was allowed under this number is. */
export const generationQueries = (generation: number): readonly Query[] => {
  const mark = hostOrder(generation << shift)
  return [
    flushChain({ ...policyTable, chain: currentChain }),
    newRule(
      { ...policyTable, chain: currentChain },
      {
        comment: `${comment}${generation}`,
        expressions: [
          connection('mark', register(0)),
          mask(register(0), hostOrder(generationMask)),
          equals(register(0), mark),
          verdict('accept'),
        ],
      },
    ),
    flushChain({ ...policyTable, chain: admitChain }),
    newRule(
      { ...policyTable, chain: admitChain },
      {
        comment: `${comment}${generation}`,
        expressions: [
          connection('mark', register(0)),
          mask(register(0), hostOrder(~generationMask), mark),
          markConnection(register(0)),
        ],
      },
    ),
  ]
}

/** Of the rules of `current`, as "chain: comment"; undefined where there is none. */
export function generationIn(rules: readonly string[]): number | undefined {
  const found = rules.map((rule) => /^current: generation (\d+)$/.exec(rule)?.[1]).find((it) => it)
  return found === undefined ? undefined : Number(found)
}
