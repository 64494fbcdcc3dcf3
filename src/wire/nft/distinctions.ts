import type { Address, Family } from '../../base/address.ts'
import { concat, toHex } from '../../base/bytes.ts'
import type { ListedExpression } from './listed-expression.ts'
import type { ListedElement, ListedRule, ListedSet, ListedTable } from './listed-table.ts'
import { type Field, fieldBytes, type Holding, track } from './registers.ts'
import { intervalsOf } from './set-index.ts'

// What a table can tell apart, read off its rules and sets. Between two neighbouring cuts all
// addresses (ports, protocols) are the same to it, so one of them stands for all.

export type Distinctions = {
  /** Where something begins, or has just ended. */
  readonly addresses: Readonly<Record<Family, ReadonlySet<bigint>>>
  /** One for each of those that are told apart, but for the given ones, which are all there. */
  readonly protocolsBeside: (given: readonly number[]) => readonly number[]
  /** Cuts of one protocol's, in the chains that packets between these addresses can come to. */
  readonly portsBetween: (ends: readonly Address[], protocol: number) => ReadonlySet<number>
  /** Equal for addresses that no rule and no set tells apart. */
  readonly signatureOf: (address: Address) => string
}

/** A run of values that a rule or an element asks for, both ends in it. */
type Run = {
  readonly of: Field['of']
  readonly first: bigint
  readonly last: bigint
  /** Of ports: the protocols that they are asked for together with. */
  readonly protocols?: Run
}

/** A part of a set's key that some rule fills with an address. */
type AddressPart = { readonly set: string; readonly family: Family; readonly boxes: readonly Box[] }
type Box = {
  readonly run: Run
  readonly element: ListedElement
  /** What else the element says; with "self" where it says the same address again. */
  readonly rest: string
}

export function distinctionsOf(table: ListedTable): Distinctions {
  const sets = new Map(table.sets.map((set) => [set.name, set]))
  const asked = table.rules.flatMap((rule) => askedBy(rule, sets))
  const runs = asked.flatMap((one) => one.runs)
  const parts = addressParts(asked, sets)
  const tests = runs.filter(({ of }) => familyOf(of) !== undefined)
  const compared = asked.filter(({ set }) => !set).flatMap((one) => one.runs)
  const lookUp = finder(parts)
  return {
    addresses: { 4: cutsOf(tests, 'address4'), 6: cutsOf(tests, 'address6') },
    protocolsBeside: (given) => protocolsBeside(runs, given),
    portsBetween: portsBetween(table, asked, lookUp),
    signatureOf: (address) =>
      [
        ...compared.map((run) => (isIn(run, address) ? '1' : '0')),
        ...lookUp(address).map(({ part, box }) => `${part} ${box.rest}`),
      ].join(';'),
  }
}

const familyOf = (of: Field['of']): Family | undefined =>
  of === 'address4' ? 4 : of === 'address6' ? 6 : undefined

const isIn = ({ of, first, last }: Run, { family, value }: Address): boolean =>
  familyOf(of) === family && first <= value && value <= last

const cutsOf = (runs: readonly Run[], of: Field['of']): ReadonlySet<bigint> =>
  new Set(runs.flatMap((run) => (run.of === of ? [run.first, run.last + 1n] : [])))

/** What every comparison and element says of a protocol. */
function protocolsBeside(runs: readonly Run[], given: readonly number[]): readonly number[] {
  const asked = new Map(
    runs.flatMap((run) => (run.of === 'protocol' ? [[`${run.first} ${run.last}`, run]] : [])),
  )
  const kinds = new Map<string, number>()
  const isAsked = (protocol: number) => (run: Run) => run.first <= protocol && protocol <= run.last
  for (let protocol = 0; protocol < 256; protocol++) {
    if (given.includes(protocol)) continue
    const kind = [...asked.values()].map(isAsked(protocol)).join()
    if (!kinds.has(kind)) kinds.set(kind, protocol)
  }
  return [...given, ...kinds.values()]
}

const numbers = (cuts: ReadonlySet<bigint>): ReadonlySet<number> => new Set([...cuts].map(Number))

/** One comparison or look-up of a rule, of what is known of the registers. */
type Asked = {
  readonly chain: string
  readonly runs: readonly Run[]
  readonly set?: ListedSet
  /** Parts of the set's key, by their offsets. */
  readonly parts?: readonly { readonly at: number; readonly of: Field['of'] }[]
}

function askedBy(
  { chain, expressions }: ListedRule,
  sets: ReadonlyMap<string, ListedSet>,
): readonly Asked[] {
  const holding: Holding = new Map()
  return expressions.flatMap((expression): readonly Asked[] => {
    const asked = askedIn(expression, holding, sets)
    track(holding, expression)
    return asked ? [{ chain, ...asked }] : []
  })
}

function askedIn(
  expression: ListedExpression,
  holding: Holding,
  sets: ReadonlyMap<string, ListedSet>,
): Omit<Asked, 'chain'> | undefined {
  switch (expression.name) {
    case 'cmp':
      return comparedWith(holding.get(expression.from), expression.value, expression.value)
    case 'range':
      return comparedWith(holding.get(expression.from), expression.first, expression.last)
    case 'lookup': {
      const set = sets.get(expression.set)
      if (!set) return undefined
      const parts = [...holding]
        .map(([place, { of }]) => ({ at: place - expression.from, of }))
        .filter(({ at }) => at >= 0 && at < set.keyBytes)
      const protocol = parts.find(({ of }) => of === 'protocol')
      const protocols = protocol ? spansOf(set, protocol.at, 'protocol') : []
      const runs = parts.flatMap(({ at, of }) =>
        spansOf(set, at, of).map(({ run }, index) => {
          const beside = of === 'port' ? protocols[index]?.run : undefined
          return beside ? { ...run, protocols: beside } : run
        }),
      )
      return { set, parts, runs }
    }
    default:
      return undefined
  }
}

/** A value that is shorter than its field, or masked, means all that begin with it. */
function comparedWith(field: Field | undefined, low: Uint8Array, high: Uint8Array) {
  if (!field) return undefined
  const length = fieldBytes[field.of]
  const missing = Math.max(0, length - low.length)
  const open = Uint8Array.from(high, (byte, at) => byte | (~(field.mask?.[at] ?? 0xff) & 0xff))
  const first = numberOf(concat([low, new Uint8Array(missing)]).subarray(0, length))
  const last = numberOf(concat([open, new Uint8Array(missing).fill(0xff)]).subarray(0, length))
  return { runs: [{ of: field.of, first, last }] }
}

function numberOf(bytes: Uint8Array): bigint {
  let value = 0n
  for (const byte of bytes) value = (value << 8n) | BigInt(byte)
  return value
}

/** A set's elements by one part of their keys. */
function spansOf(
  set: ListedSet,
  at: number,
  of: Field['of'],
): readonly { readonly run: Run; readonly element: ListedElement }[] {
  const length = fieldBytes[of]
  const part = (key: Uint8Array): bigint => numberOf(key.subarray(at, at + length))
  const everything = (1n << BigInt(length * 8)) - 1n
  if (set.flags.isInterval && set.fields.length < 2)
    return intervalsOf(set).map(({ element, first, until }) => ({
      element,
      run: { of, first: part(first), last: until ? part(until) - 1n : everything },
    }))
  return set.elements.flatMap((element) => {
    const { key, keyEnd = key } = element
    return key && keyEnd ? [{ element, run: { of, first: part(key), last: part(keyEnd) } }] : []
  })
}

function addressParts(
  asked: readonly Asked[],
  sets: ReadonlyMap<string, ListedSet>,
): readonly AddressPart[] {
  const wanted = new Map<string, { set: string; at: number; of: Field['of'] }>()
  for (const { set, parts } of asked)
    for (const { at, of } of parts ?? [])
      if (set && familyOf(of)) wanted.set(`${set.name} ${at} ${of}`, { set: set.name, at, of })
  return [...wanted.values()].flatMap(({ set: name, at, of }) => {
    const [set, family] = [sets.get(name), familyOf(of)]
    if (!set || !family) return []
    const boxes = spansOf(set, at, of).map(({ run, element }) => ({
      run,
      element,
      rest: restOf(element, at, fieldBytes[of]),
    }))
    return [{ set: name, family, boxes }]
  })
}

/** The element without this part of its key. */
function restOf({ key, keyEnd, verdict, value }: ListedElement, at: number, length: number) {
  const without = (bytes: Uint8Array | undefined): string => {
    if (!bytes) return '-'
    const part = toHex(bytes.subarray(at, at + length))
    const others = concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    return toHex(others) === part ? 'self' : toHex(others)
  }
  const to = verdict ? JSON.stringify(verdict) : value ? toHex(value) : ''
  return `${without(key)} ${keyEnd ? without(keyEnd) : ''} ${to}`
}

type Found = { readonly part: number; readonly box: Box }

/** Elements by an address of theirs: single addresses are hashed, others gone through. */
function finder(parts: readonly AddressPart[]): (address: Address) => readonly Found[] {
  const indexed = parts.map(({ family, boxes }) => ({
    family,
    single: Map.groupBy(
      boxes.filter(({ run }) => run.first === run.last),
      ({ run }) => run.first,
    ),
    wide: boxes.filter(({ run }) => run.first !== run.last),
  }))
  return (address) =>
    indexed.flatMap(({ family, single, wide }, part) => {
      if (family !== address.family) return []
      const found = [
        ...(single.get(address.value) ?? []),
        ...wide.filter(({ run }) => isIn(run, address)),
      ]
      return found.map((box) => ({ part, box }))
    })
}

/** Cuts by chain, and which chains are come to from the hooks by way of these addresses. */
function portsBetween(
  { chains, rules, sets }: ListedTable,
  asked: readonly Asked[],
  lookUp: (address: Address) => readonly Found[],
): Distinctions['portsBetween'] {
  const runs = Map.groupBy(
    asked.flatMap((one) =>
      one.runs.filter(({ of }) => of === 'port').map((run) => ({ chain: one.chain, run })),
    ),
    ({ chain }) => chain,
  )
  const byAddress = new Set(
    asked.flatMap(({ set, parts }) =>
      set && parts?.some(({ of }) => familyOf(of)) ? [set.name] : [],
    ),
  )
  const jumps = Map.groupBy(
    rules.flatMap((rule) => jumpsOf(rule, sets, byAddress).map((to) => ({ from: rule.chain, to }))),
    ({ from }) => from,
  )
  const reached = new Map<string, ReadonlySet<number>>()
  const cutsFrom = (start: string, protocol: number): ReadonlySet<number> => {
    const key = `${protocol} ${start}`
    const known = reached.get(key)
    if (known) return known
    const seen = new Set([start])
    for (const chain of seen) for (const { to } of jumps.get(chain) ?? []) seen.add(to)
    const met = [...seen].flatMap((chain) => (runs.get(chain) ?? []).map(({ run }) => run))
    const found = numbers(cutsOf(met.filter(isOf(protocol)), 'port'))
    reached.set(key, found)
    return found
  }
  const hooked = chains.filter(({ base }) => base).map(({ name }) => name)
  const targets = new Map<Address, readonly string[]>()
  const targetsOf = (end: Address): readonly string[] => {
    const known = targets.get(end)
    if (known) return known
    const found = lookUp(end).flatMap(({ box }) => chainsOf(box.element.verdict))
    targets.set(end, found)
    return found
  }
  return (ends, protocol) => {
    const starts = new Set([...hooked, ...ends.flatMap(targetsOf)])
    return new Set([...starts].flatMap((start) => [...cutsFrom(start, protocol)]))
  }
}

const isOf =
  (protocol: number) =>
  ({ protocols }: Run): boolean =>
    !protocols || (protocols.first <= protocol && protocol <= protocols.last)

const chainsOf = (verdict: ListedElement['verdict']): readonly string[] =>
  verdict && 'chain' in verdict ? [verdict.chain] : []

/** Where a rule leads whoever is the other end; what an address decides is asked by address. */
const jumpsOf = (
  { expressions }: ListedRule,
  sets: readonly ListedSet[],
  byAddress: ReadonlySet<string>,
): readonly string[] =>
  expressions.flatMap((expression) => {
    if (expression.name === 'verdict') return chainsOf(expression.verdict)
    if (expression.name !== 'lookup' || byAddress.has(expression.set)) return []
    const set = sets.find(({ name }) => name === expression.set)
    return (set?.elements ?? []).flatMap(({ verdict }) => chainsOf(verdict))
  })
