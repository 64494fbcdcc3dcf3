import {
  decodeListedChain,
  decodeListedElements,
  decodeListedRule,
  decodeListedSet,
  dumpChains,
  dumpSets,
  type ListedSet,
  type ListedTable,
} from '../wire/nft/listed-table.ts'
import { dumpElements } from '../wire/nft/set.ts'
import { dumpRules, getTable, type TableName } from '../wire/nft/table.ts'
import type { Native } from './native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts'
import { errno, KernelRefusal } from './refusal.ts'
import { rulesetNumber } from './ruleset-number.ts'

/** Others change their rules at the same time: what was read is read again. */
const attemptsMax = 8

export type ReadTable = ListedTable & {
  /** The ruleset's number, the same before and after. */
  readonly generation: number
}

/**
 * A table as it was at one moment; undefined if there is none.
 * @param netnsFd a descriptor of the namespace, or -1 for the process's own.
 * @throws {KernelRefusal} if the ruleset changed under every one of the attempts.
 */
export function readTable(native: Native, name: TableName, netnsFd = -1): ReadTable | undefined {
  const socket = new NetlinkSocket(native, netnsFd, NETLINK_NETFILTER)
  try {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const before = rulesetNumber(socket)
      const table = tryRead(socket, name)
      if (table === 'changed' || rulesetNumber(socket) !== before) continue
      return table && { ...table, generation: before }
    }
    throw new KernelRefusal({
      what: `read nftables table ${name.table} (${attemptsMax} times the rules changed meanwhile)`,
      errno: errno.EAGAIN,
    })
  } finally {
    socket.close()
  }
}

/** "changed": a set was gone before its elements were asked for. */
function tryRead(socket: NetlinkSocket, name: TableName): ListedTable | undefined | 'changed' {
  const [fared] = socket.exchange([getTable(name)])
  if (fared?.errno === errno.ENOENT) return undefined
  const isOurs = ({ table }: { readonly table: string }) => table === name.table
  try {
    const sets = socket
      .ask('list nftables sets', dumpSets(name))
      .map(({ body }) => decodeListedSet(body))
      .filter(isOurs)
    return {
      chains: socket
        .ask('list nftables chains', dumpChains(name))
        .map(({ body }) => decodeListedChain(body))
        .filter(isOurs),
      rules: socket
        .ask('list nftables rules', dumpRules(name))
        .map(({ body }) => decodeListedRule(body))
        .filter(isOurs),
      sets: sets.map((set) => ({ ...set, elements: elementsOf(socket, name, set) })),
    }
  } catch (refusal) {
    if (refusal instanceof KernelRefusal && refusal.errno === errno.ENOENT) return 'changed'
    throw refusal
  }
}

const elementsOf = (socket: NetlinkSocket, name: TableName, { name: set }: ListedSet) =>
  socket
    .ask(`list nftables set ${set}`, dumpElements({ ...name, set }))
    .flatMap(({ body }) => decodeListedElements(body))
