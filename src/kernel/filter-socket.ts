import { type Attachment, nameOf } from '../datapath/attachment.ts'
import { masqueradePrefix } from '../datapath/masquerade.ts'
import {
  dropChain,
  elementsOf,
  ownChainOf,
  setsOf,
  tableQueries,
  tables,
  tablesOf,
} from '../datapath/ruleset.ts'
import type { Query } from '../wire/netlink/message.ts'
import { decodeGeneration, getGeneration, nftBatch } from '../wire/nft/message.ts'
import {
  decodeElements,
  deleteElement,
  dumpElements,
  type Element,
  getElement,
  newElement,
  type ObservedElement,
  putElement,
} from '../wire/nft/set.ts'
import {
  type ChainName,
  decodeChainUses,
  decodeRule,
  deleteTable,
  dumpRules,
  getChain,
  type TableName,
} from '../wire/nft/table.ts'
import type { Native } from './native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts'
import { errno, KernelRefusal } from './refusal.ts'

type Refusal = {
  readonly at: number
  readonly errno: number
  readonly kernelText: string | undefined
}

/**
 * Each try answers what the one before it was refused for; a node has at most a few who make the
 * table at once.
 */
const attemptsMax = 8
/** Keeps a batch within a socket buffer; a rebuild of a large node is several batches. */
const elementsPerBatch = 500

/**
 * nf_tables in the host's namespace: attachments' elements in the tables that datapath/ruleset.ts
 * describes.
 */
export class FilterSocket {
  readonly #socket: NetlinkSocket

  constructor(native: Native) {
    this.#socket = new NetlinkSocket(native, -1, NETLINK_NETFILTER)
  }

  /** The number of the ruleset in force; throws where the kernel has no nf_tables. */
  generation(): number {
    const [message] = this.#socket.ask('read the nf_tables generation', getGeneration())
    const generation = message && decodeGeneration(message)
    if (generation === undefined)
      throw new Error('Cannot read the nf_tables generation: odd answer')
    return generation
  }

  /**
   * Puts an attachment's elements in. The common case is one batch of elements; what that is
   * refused for (no such chain, no such table, an element left by a process that was killed) is
   * made first, and it is tried again.
   * @param whenLost tells every attachment of this node, to fill a table that had to be made.
   */
  attach(
    attachment: Attachment,
    whenLost: (fill: (all: readonly Attachment[]) => void) => void,
  ): void {
    const elements = elementsOf(attachment)
    if (elements.length === 0) return
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const refusal = this.#commit(elements.map(newElement))
      if (!refusal) return
      if (refusal.errno === errno.EEXIST) this.deleteElements(elements)
      else if (refusal.errno !== errno.ENOENT)
        throw this.#refused(`add nftables elements of ${nameOf(attachment)}`, refusal)
      else if (!this.#makeChain(attachment)) whenLost((all) => this.#makeTables(attachment, all))
    }
    throw new KernelRefusal({
      what:
        `add nftables elements of ${nameOf(attachment)} ` +
        `(${attemptsMax} tries; somebody keeps changing our table)`,
      errno: errno.EAGAIN,
    })
  }

  /** Takes an attachment's elements out, and its masquerade chain if nobody else uses it. */
  detach(attachment: Attachment): void {
    this.deleteElements(elementsOf(attachment))
    const chain = ownChainOf(attachment)
    if (chain) this.#dropChain(chain.name)
  }

  /** All at once; if that is refused because one is gone already, one by one. */
  deleteElements(elements: readonly Element[]): void {
    if (elements.length === 0) return
    const refusal = this.#commit(elements.map(deleteElement))
    if (!refusal) return
    if (refusal.errno !== errno.ENOENT) throw this.#refused('delete nftables elements', refusal)
    for (const element of elements) {
      const one = this.#commit([deleteElement(element)])
      if (one && one.errno !== errno.ENOENT) throw this.#refused('delete an nftables element', one)
    }
  }

  /** Elements whose comment is chosen: for attachments of which no record is left. */
  findElements(isChosen: (comment: string) => boolean): readonly Element[] {
    return this.#every((table, { set, key, comment }) =>
      comment !== undefined && isChosen(comment) ? [{ ...table, set, key }] : [],
    )
  }

  /** Masquerade chains that no element jumps to any more are removed; the kernel knows which. */
  dropUnusedChains(): void {
    const chains = new Set(this.rules(tables[0]).map((rule) => rule.split(': ')[0] ?? ''))
    for (const chain of chains)
      if (chain.startsWith(masqueradePrefix)) this.#dropChain({ ...tables[0], chain })
  }

  /**
   * Removes the tables if no set of theirs has an element; a change by anybody in between leaves
   * them.
   */
  dropEmptyTables(): void {
    const generation = this.generation()
    if (this.#every((_, element) => [element]).length > 0) return
    const standing = tables.filter((table) => this.rules(table).length > 0)
    if (standing.length === 0) return
    const refusal = this.#commit(standing.map(deleteTable), generation)
    if (refusal && refusal.errno !== errno.ERESTART)
      throw this.#refused('delete empty nftables tables', refusal)
  }

  /** Elements that the attachment should have and the kernel lacks. */
  missingElements(attachment: Attachment): readonly Element[] {
    return elementsOf(attachment).filter((element) => {
      const [fared] = this.#socket.exchange([getElement(element)])
      return fared?.errno !== 0
    })
  }

  /** The table's rules as "chain: comment", in order; none if there is no such table. */
  rules(table: TableName): readonly string[] {
    return this.#absentAsEmpty(() =>
      this.#socket.ask('list nftables rules', dumpRules(table)).flatMap(({ body }) => {
        const rule = decodeRule(body)
        return rule.table === table.table ? [`${rule.chain}: ${rule.comment ?? ''}`] : []
      }),
    )
  }

  close(): void {
    this.#socket.close()
  }

  /** True if the chain is there now, false if its table is not. */
  #makeChain(attachment: Attachment): boolean {
    const chain = ownChainOf(attachment)
    if (!chain) return false
    const refusal = this.#commit(chain.queries)
    if (!refusal) return true
    if (refusal.errno === errno.ENOENT || refusal.errno === errno.EEXIST) return false
    throw this.#refused(`add nftables chain ${chain.name.chain}`, refusal)
  }

  #makeTables(attachment: Attachment, all: readonly Attachment[]): void {
    for (const table of tablesOf(attachment)) {
      const refusal = this.#commit(tableQueries(table))
      if (refusal && refusal.errno !== errno.EEXIST)
        throw this.#refused(`add nftables table ${table.family} ${table.table}`, refusal)
      if (!refusal) this.#fill(table, all)
    }
    const chain = ownChainOf(attachment)
    if (chain) this.#commit(chain.queries)
  }

  #fill(table: TableName, all: readonly Attachment[]): void {
    const chains = new Map(
      all.flatMap((one) => ownChainOf(one) ?? []).map((chain) => [chain.name.chain, chain]),
    )
    if (table.family === 'inet') for (const { queries } of chains.values()) this.#commit(queries)
    const elements = all.flatMap(elementsOf).filter(({ family }) => family === table.family)
    for (let at = 0; at < elements.length; at += elementsPerBatch) {
      const refusal = this.#commit(elements.slice(at, at + elementsPerBatch).map(putElement))
      // Somebody has removed the table again: the next try makes it anew.
      if (refusal?.errno === errno.ENOENT) return
      if (refusal) throw this.#refused('fill a new nftables table', refusal)
    }
  }

  /**
   * Asks first: a batch that the kernel refuses makes it wait a grace period (10 to 20 ms), and so
   * would every DEL but the last one's.
   */
  #dropChain(name: ChainName): void {
    const [fared] = this.#socket.exchange([getChain(name)])
    const uses = fared?.answers.map(({ body }) => decodeChainUses(body))[0]
    const rules = this.rules(name).filter((rule) => rule.startsWith(`${name.chain}: `)).length
    if (uses === undefined || uses > rules) return
    const refusal = this.#commit(dropChain(name))
    if (refusal && refusal.errno !== errno.EBUSY && refusal.errno !== errno.ENOENT)
      throw this.#refused(`delete nftables chain ${name.chain}`, refusal)
  }

  #every<T>(select: (table: TableName, element: ObservedElement) => readonly T[]): readonly T[] {
    return tables.flatMap((table) =>
      setsOf(table).flatMap((set) =>
        this.#absentAsEmpty(() =>
          this.#socket
            .ask(`list nftables set ${set}`, dumpElements({ ...table, set }))
            .flatMap(({ body }) => decodeElements(body))
            .flatMap((element) => select(table, element)),
        ),
      ),
    )
  }

  #absentAsEmpty<T>(list: () => readonly T[]): readonly T[] {
    try {
      return list()
    } catch (refusal) {
      if (refusal instanceof KernelRefusal && refusal.errno === errno.ENOENT) return []
      throw refusal
    }
  }

  #commit(changes: readonly Query[], generation?: number): Refusal | undefined {
    return this.#socket.commitBatch(nftBatch(changes, generation))[0]
  }

  #refused(what: string, { errno: number, kernelText }: Refusal): KernelRefusal {
    return new KernelRefusal({ what, errno: number, kernelText })
  }
}
