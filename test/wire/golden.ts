import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { Query } from '../../src/wire/netlink/message.ts'

// Reads golden bytes and takes messages apart, on its own: no line is shared with what it tests.

export const goldenFile = (name: string): URL => new URL(`../golden/${name}.hex`, import.meta.url)

/** The bytes of a file: hex, with `#` comments. */
export function readGolden(name: string): Buffer {
  const lines = readFileSync(goldenFile(name), 'utf8').split('\n')
  const digits = lines.filter((line) => !line.startsWith('#')).join('')
  return Buffer.from(digits.replaceAll(' ', ''), 'hex')
}

export type Taken = { readonly type: number; readonly flags: number; readonly body: Buffer }

/** The messages of a datagram, headers checked as nlmsg_ok() does. */
export function messagesOf(datagram: Buffer): readonly Taken[] {
  const found: Taken[] = []
  for (let at = 0; at < datagram.length; ) {
    const length = datagram.readUInt32LE(at)
    if (length < 16 || at + length > datagram.length) throw new Error(`odd length ${length}`)
    const body = datagram.subarray(at + 16, at + length)
    found.push({ type: datagram.readUInt16LE(at + 4), flags: datagram.readUInt16LE(at + 6), body })
    at += (length + 3) & ~3
  }
  return found
}

export const typesOf = (datagram: Buffer): readonly number[] =>
  messagesOf(datagram).map(({ type }) => type)

export const goldenMessages = (name: string): readonly Taken[] => messagesOf(readGolden(name))

/** How a kind of message is built: the length of its fixed part, and what inside it is nested. */
export type Shape = {
  readonly head: number
  /** Paths of attributes that hold attributes, for those who do not set NLA_F_NESTED. */
  readonly nested?: readonly string[]
  /** Fixed parts inside nested attributes, by path. */
  readonly heads?: Readonly<Record<string, number>>
}

/** struct ifinfomsg; IFLA_LINKINFO, in it a veth's peer with a header of its own; IFLA_AF_SPEC. */
export const linkShape: Shape = {
  head: 16,
  nested: ['18', '18/2', '18/2/1', '18/5', '26', '26/10'],
  heads: { '18/2/1': 16 },
}
/** struct tcmsg; TCA_OPTIONS, in a u32 filter's its actions, in each of them its own options. */
export const trafficShape: Shape = { head: 20, nested: ['2', '2/7', '2/7/1', '2/7/1/2'] }
export const qdiscShape: Shape = { head: 20, nested: ['2'] }
/** struct ifaddrmsg, rtmsg, ndmsg, nfgenmsg. */
export const addressShape: Shape = { head: 8 }
export const routeShape: Shape = { head: 12, nested: ['8'] }
export const neighbourShape: Shape = { head: 12 }
export const nftShape: Shape = { head: 4 }

/**
 * One line a fact: "flags 605", "head …", then "18/1 = 76657468" for each attribute, the path made
 * of attribute numbers; the second of a number among its siblings is "1:2". Equal lists are equal
 * bytes but for padding, and for NLA_F_NESTED, which the kernel asks of nobody whose policy is from
 * before Linux 5.2.
 */
export function linesOf({ type, flags, body }: Taken, shape: Shape): readonly string[] {
  return [
    `type ${type}`,
    `flags ${flags.toString(16)}`,
    `head ${body.subarray(0, shape.head).toString('hex')}`,
    ...attributeLines(body.subarray(shape.head), '', shape),
  ]
}

function attributeLines(bytes: Buffer, parent: string, shape: Shape): readonly string[] {
  const lines: string[] = []
  const seen = new Map<number, number>()
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at)
    const type = bytes.readUInt16LE(at + 2)
    if (length < 4 || at + length > bytes.length) throw new Error(`odd attribute at ${parent}`)
    const number = type & 0x3fff
    const count = (seen.get(number) ?? 0) + 1
    seen.set(number, count)
    const path = `${parent}${number}${count > 1 ? `:${count}` : ''}`
    lines.push(...linesOfOne(bytes.subarray(at + 4, at + length), type, path, shape))
    at += (length + 3) & ~3
  }
  return lines
}

function linesOfOne(payload: Buffer, type: number, path: string, shape: Shape): readonly string[] {
  const isNested = (type & 0x8000) !== 0 || shape.nested?.includes(path)
  if (!isNested) return [`${path} = ${payload.toString('hex')}`]
  const head = shape.heads?.[path] ?? 0
  const headLine = head > 0 ? [`${path} head ${payload.subarray(0, head).toString('hex')}`] : []
  return [...headLine, ...attributeLines(payload.subarray(head), `${path}/`, shape)]
}

export type GoldenRow = {
  readonly golden: string
  /** Which message of the file, if it holds several. */
  readonly at?: number
  readonly ours: Query
  readonly shape: Shape
  /** Makes facts that are said in two ways one, on both sides. */
  readonly reading?: (lines: readonly string[]) => readonly string[]
  /** Facts that only one side states, and the reason. None: the bytes are equal. */
  readonly but?: {
    readonly why: string
    readonly ours?: readonly string[]
    readonly theirs?: readonly string[]
  }
}

export const titleOf = ({ golden, at, but }: Omit<GoldenRow, 'shape'>): string =>
  `golden ${golden}${at === undefined ? '' : `, message ${at}`}: ${but?.why ?? 'the same bytes'}`

/** Equal byte by byte; or, with `but`, the same facts in any order except for those it names. */
export function agrees(t: Test, { golden, at = 0, ours, shape, reading, but }: GoldenRow): void {
  const theirs = goldenMessages(golden)[at]
  if (theirs === undefined) throw new Error(`Cannot compare: ${golden} has no message ${at}`)
  const taken = { ...ours, body: Buffer.from(ours.body) }
  if (but === undefined) {
    t.strictSame([taken.type, taken.flags], [theirs.type, theirs.flags], 'type and flags')
    t.strictSame(rowsOf(taken.body), rowsOf(theirs.body), 'bytes')
    return
  }
  const [left, right] = [taken, theirs].map((one) => {
    const lines = linesOf(one, shape)
    return reading ? reading(lines) : lines
  }) as [readonly string[], readonly string[]]
  t.strictSame(without(left, right), [...(but.ours ?? [])].sort(), 'only ours')
  t.strictSame(without(right, left), [...(but.theirs ?? [])].sort(), 'only theirs')
  const whole = ({ flags, body }: Taken) => [flags, body]
  t.notSame(whole(taken), whole(theirs), 'a row without `but` would do')
}

const without = (lines: readonly string[], others: readonly string[]): readonly string[] =>
  lines.filter((line) => !others.includes(line)).sort()

/** Four bytes a row, so that a difference shows its place. */
export const rowsOf = (bytes: Uint8Array): readonly string[] =>
  Buffer.from(bytes)
    .toString('hex')
    .match(/.{1,8}/g) ?? []
