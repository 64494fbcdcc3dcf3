import { type Fate, fateIn, forwardChains } from '../datapath/acceptance.ts'
import type { Query } from '../wire/netlink/message.ts'
import {
  decodeForeignRule,
  decodePolicy,
  deleteForeignRule,
  dumpChain,
  type ForeignChain,
  type ForeignRule,
  getForeignChain,
  newForeignRule,
  printForeign,
} from '../wire/nft/foreign.ts'
import { nftBatch } from '../wire/nft/message.ts'
import type { Rule } from '../wire/nft/table.ts'
import type { Native } from './native.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from './netlink-socket.ts'
import { errno, KernelRefusal } from './refusal.ts'
import { rulesetNumber } from './ruleset-number.ts'

/** A chain that somebody else made, where forwarded packets pass. */
export type Passage = {
  readonly chain: ForeignChain
  readonly rules: readonly ForeignRule[]
  readonly isDropping: boolean
  /** The rule that ours have to stand before; none where the policy drops. */
  readonly before: ForeignRule | undefined
}

/** What every passage is to have. */
export type RulesFor = (chain: ForeignChain) => readonly Rule[]

/** Others change their rules at the same time: what was read is read again. */
const attemptsMax = 8

/** Single rules of ours in the forward chains of Docker, ufw, firewalld and people. */
export class ForeignChains {
  readonly #socket: NetlinkSocket

  constructor(native: Native) {
    this.#socket = new NetlinkSocket(native, -1, NETLINK_NETFILTER)
  }

  /** Rules that a chain lacks although it drops, by chain: "ip filter FORWARD". */
  missing(wanted: RulesFor): readonly { readonly chain: string; readonly rule: Rule }[] {
    return this.#passages().flatMap((passage) =>
      lacking(passage, wanted).map((rule) => ({ chain: printForeign(passage.chain), rule })),
    )
  }

  /**
   * Puts rules into the chains that drop, behind what the administrator has there and before what
   * drops the rest. What is there already stays where it is.
   */
  ensure(wanted: RulesFor): void {
    for (let attempt = 1; ; attempt++) {
      // If the rules change after this number was read, the kernel refuses what follows from them.
      const generation = rulesetNumber(this.#socket)
      const changes = this.#passages().flatMap((passage) =>
        lacking(passage, wanted).map((rule) =>
          newForeignRule(passage.chain, rule, passage.before?.handle),
        ),
      )
      const refused = this.#commit(changes, attempt < attemptsMax ? generation : undefined)
      if (refused === 0) return
      if (attempt >= attemptsMax || !isStale(refused))
        throw new KernelRefusal({ what: "accept pods in the host's firewall", errno: refused })
    }
  }

  /** Takes out every rule that is chosen, wherever it was put since. */
  drop(isChosen: (rule: ForeignRule) => boolean): void {
    for (let attempt = 1; ; attempt++) {
      const changes = this.#chains().flatMap(({ chain }) =>
        this.#rules(chain)
          .filter(isChosen)
          .map(({ handle }) => deleteForeignRule(chain, handle)),
      )
      const refused = this.#commit(changes)
      if (refused === 0) return
      if (attempt >= attemptsMax || !isStale(refused))
        throw new KernelRefusal({ what: "delete rules from the host's firewall", errno: refused })
    }
  }

  /** Every rule in these chains. */
  rules(): readonly ForeignRule[] {
    return this.#chains().flatMap(({ chain }) => this.#rules(chain))
  }

  #chains(): readonly { chain: ForeignChain; policy: 'accept' | 'drop' | undefined }[] {
    const fared = this.#socket.exchange(forwardChains.map(getForeignChain))
    return forwardChains.flatMap((chain, at) => {
      const body = fared[at]?.errno === 0 ? fared[at]?.answers[0]?.body : undefined
      return body ? [{ chain, policy: decodePolicy(body) }] : []
    })
  }

  #passages(): readonly Passage[] {
    return this.#chains().map(({ chain, policy }) => {
      const rules = this.#rules(chain)
      const fate: Fate = fateIn(rules, (name) => this.#rules({ ...chain, chain: name }))
      const isDropping = fate.end === 'drop' || (fate.end === 'through' && policy === 'drop')
      return { chain, rules, isDropping, before: fate.at }
    })
  }

  /** None if the chain is gone meanwhile. */
  #rules(chain: ForeignChain): readonly ForeignRule[] {
    return this.#socket
      .list(`list the rules of ${printForeign(chain)}`, dumpChain(chain))
      .map(({ body }) => decodeForeignRule(body))
  }

  #commit(changes: readonly Query[], generation?: number): number {
    if (changes.length === 0) return 0
    return this.#socket.commitBatch(nftBatch(changes, generation))[0]?.errno ?? 0
  }
}

const isStale = (refused: number): boolean => refused === errno.ERESTART || refused === errno.ENOENT

function lacking({ chain, rules, isDropping }: Passage, wanted: RulesFor): readonly Rule[] {
  if (!isDropping) return []
  const there = new Set(rules.map(({ comment }) => comment))
  return wanted(chain).filter(({ comment }) => !there.has(comment))
}
