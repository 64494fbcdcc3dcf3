import { toHex } from '../base/bytes.ts'
import { fillQueries, type Holding } from '../datapath/holding.ts'
import { baseRulesOf, bridgeTable, inetTable, isIn, tableQueries } from '../datapath/ruleset.ts'
import { deleteTable, ensureTable, type TableName } from '../wire/nft/table.ts'
import type { FilterSocket } from './filter-socket.ts'
import { refusedBatch } from './refusal.ts'

/**
 * Brings our tables back to what the holdings say: a table that lacks a rule or a chain is made
 * anew with all that is in it, in one batch; elements that are missing are put in. What was done,
 * in words. Under the store's lock, so that the holdings are all there are.
 * `inet tulle-policy` is left alone: what it holds of policies only the agent knows.
 * @param isSettled whether what that holding lacks was taken from it: of one that an ADD is still
 *   putting in, nothing is missed.
 */
export function healTables(
  filter: FilterSocket,
  holdings: readonly Holding[],
  isSettled: (name: string) => boolean,
): readonly string[] {
  return [inetTable, bridgeTable].flatMap((table) => {
    const users = holdings.filter(({ elements }) => elements.some(isIn(table)))
    if (!users.some(({ name }) => isSettled(name))) return []
    const lost = lostRule(filter, table, users)
    if (lost !== undefined) {
      rebuild(filter, table, users)
      return [`made nftables ${table.family} ${table.table} anew: ${lost}`]
    }
    return putMissing(
      filter,
      table,
      users.filter(({ name }) => isSettled(name)),
    )
  })
}

function lostRule(
  filter: FilterSocket,
  table: TableName,
  users: readonly Holding[],
): string | undefined {
  const there = filter.rules(table)
  if (there.length === 0) return 'it had no rules, or was not there'
  const rules = new Set(there)
  const rule = baseRulesOf(table).find((one) => !rules.has(one))
  if (rule !== undefined) return `it lacked the rule "${rule}"`
  const chains = new Set(there.map((one) => one.split(': ')[0]))
  const lost = users
    .flatMap((holding) => holding.chains)
    .find(({ name }) => isIn(table)(name) && !chains.has(name.chain))
  return lost && `its chain ${lost.name.chain} was empty, or not there`
}

function rebuild(filter: FilterSocket, table: TableName, users: readonly Holding[]): void {
  const refusal = filter.commitParts([
    ensureTable(table),
    deleteTable(table),
    ...tableQueries(table),
    ...fillQueries([table], users),
  ])
  if (refusal) throw refusedBatch(`make nftables ${table.family} ${table.table} anew`, refusal)
}

/** Ranges are somebody else's to look after (cluster-set.ts): their keys alone say little. */
function putMissing(
  filter: FilterSocket,
  table: TableName,
  users: readonly Holding[],
): readonly string[] {
  const wanted = users.flatMap(({ elements }) =>
    elements.filter((element) => isIn(table)(element) && element.until === undefined),
  )
  const missing = [...Map.groupBy(wanted, ({ set }) => set)].flatMap(([set, elements]) => {
    const there = new Set(filter.elementsIn({ ...table, set }).map(({ key }) => toHex(key)))
    return elements.filter(({ key }) => !there.has(toHex(key)))
  })
  if (missing.length === 0) return []
  // Shared: somebody may have been quicker.
  filter.swapElements(
    [],
    missing.map((element) => ({ ...element, isShared: true })),
  )
  return missing.map(({ set }) => `put an element into nftables ${table.family} set ${set}`)
}
