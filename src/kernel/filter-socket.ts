import { forgetQueries, isClosing, verdictsOf } from '../datapath/closed.ts'
import { type Base, fillQueries, type Holding, makeQueries } from '../datapath/holding.ts'
import {
  bridgeTable,
  dropChain,
  inetTable,
  isSharedChain,
  setsOf,
  tableQueries,
  tables,
  tablesOf,
} from '../datapath/ruleset.ts'
import type { Query } from '../wire/netlink/message.ts'
import { cutComment, nftBatch } from '../wire/nft/message.ts'
import {
  decodeElements,
  deleteElement,
  dumpElements,
  type Element,
  getElement,
  getSet,
  newElement,
  type ObservedElement,
  type SetName,
} from '../wire/nft/set.ts'
import {
  type ChainName,
  decodeChainUses,
  decodeRule,
  deleteTable,
  dumpRules,
  getChain,
  getTable,
  type TableName,
} from '../wire/nft/table.ts'
import { ElementTaken } from './element-taken.ts'
import type { Native } from './native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts'
import { type BatchRefusal, errno, KernelRefusal, refusedBatch } from './refusal.ts'
import { rulesetNumber } from './ruleset-number.ts'

/**
 * Each try answers what the one before it was refused for; a node has at most a few who make the
 * table at once.
 */
const attemptsMax = 16
/** Keeps a batch within a socket buffer; a rebuild of a large node is several batches. */
const changesPerBatch = 500

/** Calls back with what every attachment of this node holds. */
export type WhenLost = <T>(fill: (all: readonly Holding[]) => T) => T

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
    return rulesetNumber(this.#socket)
  }

  /**
   * Puts an attachment's elements in, with the chain and the tables that they need, in one batch.
   * After a batch that it refused the kernel lets the caller wait for 10 to 20 ms, so what is there
   * is asked first. Refused all the same, because somebody was quicker, it is tried again.
   * @param whenLost tells what every attachment of this node holds, to fill a table that has to be
   *   made.
   * @throws {ElementTaken} if another attachment has an exclusive one of the elements.
   */
  attach(holding: Holding, whenLost: WhenLost): void {
    const { elements, name } = holding
    if (elements.length === 0) return
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const base = this.#findBase(holding)
      const refusal =
        base.lost.length > 0
          ? whenLost((all) => this.commitParts(makeQueries(holding, base, all)))
          : this.#commit([...base.stale, ...base.chains, ...elements.map(newElement)])
      if (!refusal) return
      if (refusal.errno === errno.EEXIST) this.#dropStale(holding)
      else if (refusal.errno === errno.ENOENT) whenLost((all) => this.#replaceOutdated(base, all))
      else throw refusedBatch(`add nftables elements of ${name}`, refusal)
    }
    throw new KernelRefusal({
      what:
        `add nftables elements of ${name} ` +
        `(${attemptsMax} tries; somebody keeps changing our table)`,
      errno: errno.EAGAIN,
    })
  }

  /** Takes an attachment's elements out, and its chains if nobody else uses them. */
  detach({ elements, chains }: Omit<Holding, 'name'>): void {
    this.deleteElements(elements)
    for (const { name } of chains) this.#dropChain(name)
  }

  /**
   * All at once; if that is refused because one is gone already, one by one. What another has under
   * an exclusive key stays: this one's was refused then.
   */
  deleteElements(all: readonly Element[]): void {
    const elements = all.filter((element) => !this.#rivalOf(element))
    if (elements.length === 0) return
    const refusal = this.#commit(elements.map(deleteElement))
    if (!refusal) return
    if (refusal.errno !== errno.ENOENT) throw refusedBatch('delete nftables elements', refusal)
    for (const element of elements) {
      const one = this.#commit([deleteElement(element)])
      if (one && one.errno !== errno.ENOENT) throw refusedBatch('delete an nftables element', one)
    }
  }

  /** Elements whose comment is chosen: for attachments of which no record is left. */
  findElements(isChosen: (comment: string) => boolean): readonly Element[] {
    return this.#every((table, { set, key, comment }) =>
      comment !== undefined && isChosen(comment) ? [{ ...table, set, key }] : [],
    )
  }

  /** None where there is no such set. */
  elementsIn(name: SetName): readonly ObservedElement[] {
    return this.#socket
      .list(`list nftables set ${name.set}`, dumpElements(name))
      .flatMap(({ body }) => decodeElements(body))
  }

  /** Some out and others in, in one batch; false if what was there has changed meanwhile. */
  swapElements(gone: readonly Element[], come: readonly Element[]): boolean {
    const refusal = this.#commit([...gone.map(deleteElement), ...come.map(newElement)])
    if (!refusal) return true
    if (refusal.errno === errno.ENOENT || refusal.errno === errno.EEXIST) return false
    throw refusedBatch('change nftables elements', refusal)
  }

  /** Shared chains that no element jumps to any more are removed; the kernel knows which. */
  dropUnusedChains(): void {
    const chains = new Set(this.rules(tables[0]).map((rule) => rule.split(': ')[0] ?? ''))
    for (const chain of chains) if (isSharedChain(chain)) this.#dropChain({ ...tables[0], chain })
  }

  /**
   * Removes these tables if no set of theirs has an element; a change by anybody in between leaves
   * them.
   */
  dropEmptyTables(which: readonly TableName[] = [inetTable, bridgeTable]): void {
    const generation = this.generation()
    if (this.#every((_, element) => [element], which).length > 0) return
    const standing = which.filter((table) => this.rules(table).length > 0)
    if (standing.length === 0) return
    const refusal = this.#commit(standing.map(deleteTable), generation)
    if (refusal && refusal.errno !== errno.ERESTART)
      throw refusedBatch('delete empty nftables tables', refusal)
  }

  /** Elements that the attachment should have and the kernel lacks. */
  missingElements({ elements }: Pick<Holding, 'elements'>): readonly Element[] {
    return elements.filter((element) => this.#observe(element) === undefined)
  }

  /** Those of them that are there, and not another attachment's. */
  ownElements(elements: readonly Element[]): readonly Element[] {
    return elements.filter(
      (element) => this.#observe(element)?.comment === cutComment(element.comment ?? ''),
    )
  }

  /** Rules of a table or chain as "chain: comment", in order; none if it is not there. */
  rules(table: TableName | ChainName): readonly string[] {
    return this.#socket.list('list nftables rules', dumpRules(table)).flatMap(({ body }) => {
      const rule = decodeRule(body)
      return rule.table === table.table ? [`${rule.chain}: ${rule.comment ?? ''}`] : []
    })
  }

  close(): void {
    this.#socket.close()
  }

  #observe(element: Element): ObservedElement | undefined {
    const [fared] = this.#socket.exchange([getElement(element)])
    if (fared?.errno !== 0) return undefined
    return fared.answers.flatMap(({ body }) => decodeElements(body))[0]
  }

  /** What another attachment has under an exclusive key. */
  #rivalOf(element: Element): ObservedElement | undefined {
    const canBeOthers = element.isExclusive || element.isTakenOver
    const there = canBeOthers ? this.#observe(element) : undefined
    return there?.comment === cutComment(element.comment ?? '') ? undefined : there
  }

  /** What killed processes have left under these keys. */
  #dropStale({ elements }: Holding): void {
    const own = elements.filter(({ isTakenOver }) => !isTakenOver)
    for (const element of own) {
      const rival = this.#rivalOf(element)
      if (rival) throw new ElementTaken(element, rival.comment)
    }
    this.deleteElements(own.filter(({ isShared }) => !isShared))
  }

  /** What the elements need and the kernel has, or lacks. */
  #findBase({ elements, chains }: Holding): Base {
    const needed = tablesOf(elements)
    // Of an earlier pod, or of another one, of the same addresses.
    const earlier = [...elements.filter(isClosing), ...verdictsOf(elements)]
    const asked = [...needed.map(getTable), ...chains.map(({ name }) => getChain(name))]
    const fared = this.#socket.exchange([...asked, ...earlier.map(getElement)])
    const isThere = fared.map(({ errno }) => errno === 0)
    const stale = earlier.filter((_, at) => isThere[asked.length + at])
    return {
      needed,
      lost: needed.filter((_, at) => !isThere[at]),
      stale: [
        ...stale.filter(isClosing).map(deleteElement),
        ...forgetQueries(stale.filter((element) => !isClosing(element))),
      ],
      chains: chains.flatMap(({ queries }, at) => (isThere[needed.length + at] ? [] : queries)),
    }
  }

  /** A table that another version of Tulle made may lack what this one needs. */
  #replaceOutdated({ needed }: Base, all: readonly Holding[]): void {
    for (const table of needed) {
      const sets = setsOf(table).map((set) => getSet({ ...table, set }))
      const isThere = this.#socket.exchange([getTable(table), ...sets]).map((it) => it.errno === 0)
      if (!isThere[0] || !isThere.includes(false)) continue
      const refusal = this.commitParts([
        deleteTable(table),
        ...tableQueries(table),
        ...fillQueries([table], all),
      ])
      if (refusal && refusal.errno !== errno.ENOENT)
        throw refusedBatch(`replace nftables table ${table.family} ${table.table}`, refusal)
    }
  }

  /** One batch, or several for a large node: the socket's buffer ends a batch. */
  commitParts(changes: readonly Query[]): BatchRefusal | undefined {
    for (let at = 0; at < changes.length; at += changesPerBatch) {
      const refusal = this.#commit(changes.slice(at, at + changesPerBatch))
      if (refusal) return refusal
    }
    return undefined
  }

  /**
   * Asks first: a batch that the kernel refuses makes it wait a grace period (10 to 20 ms), and so
   * would every DEL but the last one's.
   */
  #dropChain(name: ChainName): void {
    const [fared] = this.#socket.exchange([getChain(name)])
    const uses = fared?.answers.map(({ body }) => decodeChainUses(body))[0]
    if (uses === undefined || uses > this.rules(name).length) return
    const refusal = this.#commit(dropChain(name))
    if (refusal && refusal.errno !== errno.EBUSY && refusal.errno !== errno.ENOENT)
      throw refusedBatch(`delete nftables chain ${name.chain}`, refusal)
  }

  #every<T>(
    select: (table: TableName, element: ObservedElement) => readonly T[],
    which: readonly TableName[] = tables,
  ): readonly T[] {
    return which.flatMap((table) =>
      setsOf(table).flatMap((set) =>
        this.elementsIn({ ...table, set }).flatMap((element) => select(table, element)),
      ),
    )
  }

  #commit(changes: readonly Query[], generation?: number): BatchRefusal | undefined {
    return this.#socket.commitBatch(nftBatch(changes, generation))[0]
  }
}
