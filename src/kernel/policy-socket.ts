import { randomInt } from 'node:crypto'
import {
  admitChain,
  currentChain,
  noVerdict,
  policedSets,
  policySets,
  policyTable,
} from '../datapath/policy-table.ts'
import { baseRulesOf, tableQueries } from '../datapath/ruleset.ts'
import type { Program } from '../policy/program.ts'
import type { Query } from '../wire/netlink/message.ts'
import { decodeElementTexts, type PlainElement, textOfElement } from '../wire/nft/element-list.ts'
import { cutComment, nftBatch } from '../wire/nft/message.ts'
import { decodeCounter, dumpCounters } from '../wire/nft/notice.ts'
import { dumpElements, type Element, flushSet, putElement, type SetName } from '../wire/nft/set.ts'
import { decodeRule, deleteTable, dumpRules, ensureTable } from '../wire/nft/table.ts'
import type { Native } from './native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts'
import { closedCounters, countersOf, type PolicyCounter, partsOf } from './policy-chains.ts'
import { changeQueries, emptyProgram } from './policy-difference.ts'
import {
  drawGeneration,
  generationIn,
  generationQueries,
  nextGeneration,
} from './policy-generation.ts'
import { mapChanges } from './policy-maps.ts'
import { isNarrowing } from './policy-narrowing.ts'
import { refusedBatch } from './refusal.ts'
import { rulesetNumber } from './ruleset-number.ts'

/** What was refused since a counter was made, which is as long as its profile is there. */
export type Refusals = Omit<PolicyCounter, 'counter'> & {
  readonly packets: number
  readonly bytes: number
}

/**
 * For the fraction of a millisecond in which the kernel ends what a batch deletes, packets meet the
 * old table besides the new one: its chains have their rules still, its sets their elements, but
 * its maps, verdicts among them, are empty, so it would close every pod that is policed. It lets
 * everything pass where none is. (nf_tables_commit_chain_prepare leaves out a chain that goes.)
 */
function disarming(rules: readonly string[]): readonly Query[] {
  return ([4, 6] as const)
    .filter((family) => rules.includes(`egress: ${noVerdict(family)}`))
    .map((family) => flushSet({ ...policyTable, set: `policed${family}` }))
}

/** `inet tulle-policy` in the host's namespace: the agent's part of it. */
export class PolicySocket {
  readonly #socket: NetlinkSocket
  readonly #draw: () => number
  #generation: number | undefined
  /** Number of the ruleset in which the table was seen to be, or left, as committed. */
  #ruleset: number | undefined

  /** @param chance 0 ≤ chance < 1: draws the first generation where the kernel has none. */
  constructor(native: Native, chance: () => number = () => randomInt(2 ** 30) / 2 ** 30) {
    this.#socket = new NetlinkSocket(native, -1, NETLINK_NETFILTER)
    this.#draw = () => drawGeneration(chance())
  }

  /** Of the connections that are allowed now; undefined before the first load. */
  get generation(): number | undefined {
    return this.#generation
  }

  /**
   * Makes the table anew with all that is in it, in one batch: nothing passes in between that
   * neither the one nor the other allows. Every connection is judged again.
   * @param policed what attachments have in the table, of all on record; under the store's lock.
   */
  load(program: Program, policed: readonly Element[]): void {
    const rules = this.#rules()
    const found = this.#generation ?? generationIn(rules)
    const generation = found === undefined ? this.#draw() : nextGeneration(found)
    this.#commit('load the policies into nftables', [
      ...disarming(rules),
      ensureTable(policyTable),
      deleteTable(policyTable),
      ...tableQueries(policyTable),
      ...policed.map(putElement),
      ...changeQueries(emptyProgram, program),
      ...generationQueries(generation),
    ])
    this.#generation = generation
  }

  /**
   * From the program that was committed to the next, in one batch. What a change forbids is cut
   * by it; connections are judged again only if it may forbid something.
   * @throws {KernelRefusal} if what is in the kernel is not what was committed: load it whole.
   */
  change(before: Program, after: Program): void {
    const queries = changeQueries(before, after)
    if (queries.length === 0) return
    if (this.#generation === undefined)
      throw new Error('Cannot change policies that this process has not loaded')
    const generation = isNarrowing(before, after)
      ? nextGeneration(this.#generation)
      : this.#generation
    const isNew = generation !== this.#generation
    this.#commit('change the policies in nftables', [
      ...queries,
      ...(isNew ? generationQueries(generation) : []),
    ])
    this.#generation = generation
  }

  /** Begins another generation: an ADD has ended the one before, as its address was another's. */
  renew(): void {
    if (this.#generation === undefined) return
    const generation = nextGeneration(this.#generation)
    this.#commit('begin another generation of policies', generationQueries(generation))
    this.#generation = generation
  }

  /**
   * Whether the table is as the last commit left it. If nothing at all has changed in nf_tables
   * since, this asks for one number; else it reads the table back.
   * @param policed as for `load`.
   */
  isAsCommitted(program: Program, policed: readonly Element[]): boolean {
    const ruleset = rulesetNumber(this.#socket)
    if (ruleset === this.#ruleset) return true
    const isSo = this.#hasRules(program) && this.#hasElements(program, policed)
    // Read before the rest: whoever has changed something since has made it another.
    if (isSo) this.#ruleset = ruleset
    return isSo
  }

  /** What was refused by policy and direction, of the program in force. */
  refusals(program: Program): readonly Refusals[] {
    const counted = new Map(
      this.#socket
        .list('read nftables counters', dumpCounters(policyTable))
        .map(({ body }) => decodeCounter(body))
        .flatMap((one) => (one.table === policyTable.table ? [[one.counter, one] as const] : [])),
    )
    const counters = [...closedCounters, ...[...program.profiles.values()].flatMap(countersOf)]
    return counters.flatMap(({ counter, ...which }) => {
      const there = counted.get(counter)
      return there ? [{ ...which, packets: there.packets, bytes: there.bytes }] : []
    })
  }

  close(): void {
    this.#socket.close()
  }

  #hasRules(program: Program): boolean {
    const wanted = [
      ...baseRulesOf(policyTable),
      ...[currentChain, admitChain].map((chain) => `${chain}: generation ${this.#generation}`),
      ...[...program.profiles.values()].flatMap((profile) =>
        partsOf(profile).chains.flatMap(({ chain, rules }) =>
          rules.map(({ comment }) => `${chain}: ${cutComment(comment)}`),
        ),
      ),
    ]
    // chains are listed in the order that they were made in
    return sameTexts([...wanted].sort(), [...this.#rules()].sort())
  }

  #hasElements(program: Program, policed: readonly Element[]): boolean {
    const wanted = new Map<string, readonly PlainElement[]>([
      ...policySets.map(({ set }) => [set, []] as const),
      ...mapChanges(emptyProgram, program).map(({ set, come }) => [set, come] as const),
      ...[...program.profiles.values()].flatMap((profile) =>
        partsOf(profile).sets.map(({ set, elements }) => [set, elements] as const),
      ),
    ])
    const isPoliced = (set: string): boolean => policedSets.includes(set)
    return [...wanted].every(([set, elements]) => {
      const there = this.#elements({ ...policyTable, set })
      // an ADD that is under way has put in more
      if (isPoliced(set))
        return policed.every((one) => one.set !== set || there.has(textOfElement(one)))
      return (
        elements.length === there.size && elements.every((one) => there.has(textOfElement(one)))
      )
    })
  }

  #rules(): readonly string[] {
    return this.#socket.list('list nftables rules', dumpRules(policyTable)).flatMap(({ body }) => {
      const { table, chain, comment } = decodeRule(body)
      return table === policyTable.table ? [`${chain}: ${comment ?? ''}`] : []
    })
  }

  #elements(name: SetName): ReadonlySet<string> {
    const listed = this.#socket.list(`list nftables set ${name.set}`, dumpElements(name))
    return new Set(listed.flatMap(({ body }) => decodeElementTexts(body)))
  }

  #commit(what: string, changes: readonly Query[]): void {
    const before = rulesetNumber(this.#socket)
    this.#ruleset = undefined
    const [refusal] = this.#socket.commitBatch(nftBatch(changes))
    if (refusal) throw refusedBatch(what, refusal)
    const after = rulesetNumber(this.#socket)
    if (after === before + 1) this.#ruleset = after
  }
}

const sameTexts = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((text, at) => text === other[at])
