import type { ListedExpression, ListedVerdict } from './listed-expression.ts'
import type { ListedBase, ListedChain, ListedRule, ListedTable } from './listed-table.ts'
import {
  loadConnection,
  loadFib,
  loadMeta,
  loadPayload,
  type PacketFacts,
  UnknownExpression,
} from './packet-facts.ts'
import { compareBytes, indexOf, type SetIndex } from './set-index.ts'

// What the kernel's nf_tables core (net/netfilter/nf_tables_core.c, nft_do_chain) does with a
// packet, for the expressions that Tulle's tables have and some more. It reads what the kernel
// lists and knows nothing of how those rules came to be.

/** A table made ready to be asked. */
export type Machine = {
  readonly chains: ReadonlyMap<string, readonly ListedRule[]>
  readonly bases: readonly (ListedChain & { readonly base: ListedBase })[]
  readonly sets: ReadonlyMap<string, SetIndex>
}

export function machineOf({ chains, rules, sets }: ListedTable): Machine {
  const byChain = Map.groupBy(rules, ({ chain }) => chain)
  return {
    chains: new Map(chains.map(({ name }) => [name, byChain.get(name) ?? []])),
    bases: chains
      .flatMap((chain) => (chain.base ? [{ ...chain, base: chain.base }] : []))
      .sort((left, right) => left.base.priority - right.base.priority),
    sets: new Map(sets.map((set) => [set.name, indexOf(set)])),
  }
}

/** NF_INET_*, as `ListedBase.hook`. */
export const hookNumbers = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 }
export type HookName = keyof typeof hookNumbers

export type Passage = {
  readonly verdict: 'accept' | 'drop'
  /** The rule that said so; none where a chain's policy, or no chain at all, did. */
  readonly by?: ListedRule
  /** The connection's mark when it was over. */
  readonly connectionMark: number
  /** Rules that matched, in the order in which the packet came to them. */
  readonly trace: readonly ListedRule[]
}

/** NFT_JUMP_STACK_SIZE of net/netfilter/nf_tables.h. */
const jumpsMax = 16

type Run = {
  readonly machine: Machine
  readonly packet: PacketFacts
  /** Sixteen registers of four bytes. */
  readonly registers: Uint8Array
  readonly trace: ListedRule[]
  connectionMark: number
}

/**
 * Leads a packet through every base chain of a hook, by priority. `limit` is taken to have room.
 * @throws {UnknownExpression} where a rule that the packet comes to can't be followed.
 */
export function pass(machine: Machine, hook: HookName, packet: PacketFacts): Passage {
  const { connection } = packet
  const run: Run = {
    machine,
    packet,
    registers: new Uint8Array(64),
    trace: [],
    connectionMark: 'mark' in connection ? connection.mark : 0,
  }
  let by: ListedRule | undefined
  for (const { name, base } of machine.bases) {
    if (base.hook !== hookNumbers[hook]) continue
    const end = walk(name, run)
    by = end.by
    if ((end.verdict ?? base.policy) === 'drop') return passageOf('drop', by, run)
  }
  return passageOf('accept', by, run)
}

const passageOf = (
  verdict: Passage['verdict'],
  by: ListedRule | undefined,
  { connectionMark, trace }: Run,
): Passage => ({ verdict, ...(by ? { by } : {}), connectionMark, trace })

type End = { readonly verdict?: 'accept' | 'drop'; readonly by?: ListedRule }
type Frame = { readonly rules: readonly ListedRule[]; next: number }

/** One base chain and all that it jumps to; no verdict: the packet came to its end. */
function walk(start: string, run: Run): End {
  const stack: Frame[] = [{ rules: rulesOf(start, run), next: 0 }]
  for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
    const rule = frame.rules[frame.next++]
    if (!rule) {
      stack.pop()
      continue
    }
    const verdict = follow(rule, run)
    switch (verdict.kind) {
      case 'accept':
      case 'drop':
        return { verdict: verdict.kind, by: rule }
      case 'return':
        stack.pop()
        break
      case 'goto':
        stack.pop()
        enter(stack, verdict.chain, run)
        break
      case 'jump':
        enter(stack, verdict.chain, run)
        break
      case 'continue':
      case 'break':
        break
      case 'other':
        throw unknown(rule, `verdict ${verdict.code}`)
    }
  }
  return {}
}

function enter(stack: Frame[], chain: string, run: Run): void {
  if (stack.length > jumpsMax) throw new UnknownExpression(`more than ${jumpsMax} jumps: ${chain}`)
  stack.push({ rules: rulesOf(chain, run), next: 0 })
}

function rulesOf(chain: string, { machine }: Run): readonly ListedRule[] {
  const rules = machine.chains.get(chain)
  if (!rules) throw new UnknownExpression(`chain ${chain}, which is not there`)
  return rules
}

const unknown = ({ chain, handle }: ListedRule, what: string): UnknownExpression =>
  new UnknownExpression(`${what}, in chain ${chain}, handle ${handle}`)

const goingOn: ListedVerdict = { kind: 'continue' }

/** The rule's verdict; "continue" where it has none, or ends before it. */
function follow(rule: ListedRule, run: Run): ListedVerdict {
  let verdict = goingOn
  for (const expression of rule.expressions) {
    try {
      const outcome = execute(expression, run)
      if (outcome === 'break') return goingOn
      if (outcome) verdict = outcome
    } catch (refusal) {
      if (refusal instanceof UnknownExpression) throw unknown(rule, refusal.message)
      throw refusal
    }
    if (verdict.kind !== 'continue') break
  }
  run.trace.push(rule)
  return verdict
}

type Outcome = ListedVerdict | 'break' | undefined

function execute(expression: ListedExpression, run: Run): Outcome {
  const { packet } = run
  switch (expression.name) {
    case 'meta':
      return store(run, expression.into, loadMeta(expression.key, packet))
    case 'payload':
      return store(run, expression.into, loadPayload(expression, packet))
    case 'ct':
      return store(run, expression.into, loadConnection(expression, packet, run.connectionMark))
    case 'fib':
      return store(run, expression.into, loadFib(expression, packet))
    case 'immediate':
      return store(run, expression.into, expression.value)
    case 'verdict':
      return expression.verdict
    case 'cmp':
      return isHolding(expression, run) ? undefined : 'break'
    case 'range':
      return isInRange(expression, run) === expression.isInside ? undefined : 'break'
    case 'bitwise':
      return combine(expression, run)
    case 'byteorder':
      return turnRound(expression, run)
    case 'lookup':
      return lookUp(expression, run)
    case 'ct set':
      return setConnection(expression, run)
    case 'limit':
      return expression.isInverted ? 'break' : undefined
    case 'log':
    case 'counter':
    case 'named counter':
      return undefined
    case 'unread':
      throw new UnknownExpression(`expression ${expression.what}`)
  }
}

/** Whole registers: what a value does not fill is zero, as nft_reg_store8 and 16 do. */
function store({ registers }: Run, into: number, value: Uint8Array | undefined): Outcome {
  if (!value) return 'break'
  registers.fill(0, into, into + ((value.length + 3) & ~3))
  registers.set(value, into)
  return undefined
}

function isHolding(
  { from, comparison, value }: ListedExpression & { name: 'cmp' },
  { registers }: Run,
): boolean {
  const difference = compareBytes(registers.subarray(from, from + value.length), value)
  switch (comparison) {
    case 'eq':
      return difference === 0
    case 'neq':
      return difference !== 0
    case 'lt':
      return difference < 0
    case 'lte':
      return difference <= 0
    case 'gt':
      return difference > 0
    case 'gte':
      return difference >= 0
  }
}

function isInRange(
  { from, first, last }: ListedExpression & { name: 'range' },
  { registers }: Run,
): boolean {
  const value = registers.subarray(from, from + first.length)
  return compareBytes(value, first) >= 0 && compareBytes(value, last) <= 0
}

function combine(
  { from, into, mask, xor }: ListedExpression & { name: 'bitwise' },
  { registers }: Run,
): undefined {
  for (const [at, bits] of mask.entries())
    registers[into + at] = ((registers[from + at] ?? 0) & bits) ^ (xor[at] ?? 0)
}

function turnRound(
  { from, into, length, partBytes }: ListedExpression & { name: 'byteorder' },
  { registers }: Run,
): undefined {
  for (let at = 0; at + partBytes <= length; at += partBytes)
    registers.set(registers.slice(from + at, from + at + partBytes).reverse(), into + at)
}

function lookUp(
  { set, from, into, isInverted }: ListedExpression & { name: 'lookup' },
  run: Run,
): Outcome {
  const index = run.machine.sets.get(set)
  if (!index) throw new UnknownExpression(`set ${set}, which is not there`)
  const found = index.find(run.registers, from)
  if ((found !== undefined) === isInverted) return 'break'
  if (into === undefined || !found) return undefined
  return into === 'verdict' ? found.verdict : store(run, into, found.value)
}

const NFT_CT_MARK = 3
const NFT_CT_LABELS = 13

/** Nothing is set where there is no connection. */
function setConnection({ key, from }: ListedExpression & { name: 'ct set' }, run: Run): undefined {
  if (key !== NFT_CT_MARK && key !== NFT_CT_LABELS)
    throw new UnknownExpression(`ct set of key ${key} (NFT_CT_*)`)
  if (key !== NFT_CT_MARK || !('mark' in run.packet.connection)) return
  run.connectionMark = new DataView(run.registers.buffer, from, 4).getUint32(0, true)
}
