import { type Attribute, attribute, nested, text, u32be } from '../netlink/attribute.ts'

// Expressions of a rule, each as nft prints it in `nft --debug=netlink`. Numbers:
// include/uapi/linux/netfilter/nf_tables.h.

const NFTA_LIST_ELEM = 1
const NFTA_EXPR_NAME = 1
const NFTA_EXPR_DATA = 2
const NFTA_DATA_VALUE = 1
const NFTA_DATA_VERDICT = 2
const NFTA_VERDICT_CODE = 1
const NFTA_VERDICT_CHAIN = 2

/** One encoded NFTA_LIST_ELEM of a rule's expression list. */
export type Expression = Attribute

const names = new Map<string, Attribute>()
function nameOf(name: string): Attribute {
  const encoded = names.get(name) ?? text(NFTA_EXPR_NAME, name)
  names.set(name, encoded)
  return encoded
}

/** An expression by its kernel name and its attributes. */
export const expression = (name: string, data: readonly Attribute[]): Expression =>
  nested(NFTA_LIST_ELEM, [nameOf(name), nested(NFTA_EXPR_DATA, data)])

/** NFT_REG32_00 + n: the n-th of sixteen four-byte registers. */
export const register = (word: number): number => 8 + word

const metaKeys = { protocol: 1, iifname: 6, oifname: 7, nfproto: 15, l4proto: 16 } as const

/** [ meta load KEY => reg ] */
export const meta = (key: keyof typeof metaKeys, into: number): Expression =>
  expression('meta', [u32be(1, into), u32be(2, metaKeys[key])])

const bases = { link: 0, network: 1, transport: 2 } as const
export type PayloadField = {
  readonly base: keyof typeof bases
  readonly offset: number
  readonly length: number
}

/** [ payload load LENGTHb @ BASE header + OFFSET => reg ] */
export const payload = ({ base, offset, length }: PayloadField, into: number): Expression =>
  expression('payload', [u32be(1, into), u32be(2, bases[base]), u32be(3, offset), u32be(4, length)])

/** [ cmp eq reg VALUE ] */
export const equals = (from: number, value: Uint8Array): Expression => compare(0, from, value)

/** [ cmp neq reg VALUE ] */
export const differs = (from: number, value: Uint8Array): Expression => compare(1, from, value)

/** [ cmp gte reg VALUE ], as numbers in network order. */
export const isAtLeast = (from: number, value: Uint8Array): Expression => compare(5, from, value)

/** [ cmp lte reg VALUE ], as numbers in network order. */
export const isAtMost = (from: number, value: Uint8Array): Expression => compare(3, from, value)

const compare = (operator: 0 | 1 | 3 | 5, from: number, value: Uint8Array): Expression =>
  expression('cmp', [u32be(1, from), u32be(2, operator), data(3, value)])

const data = (type: number, value: Uint8Array): Attribute =>
  nested(type, [attribute(NFTA_DATA_VALUE, value)])

/** [ bitwise reg = ( reg & MASK ) ^ XOR ] */
export const mask = (
  at: number,
  bits: Uint8Array,
  xor: Uint8Array = new Uint8Array(bits.length),
): Expression =>
  expression('bitwise', [
    u32be(1, at),
    u32be(2, at),
    u32be(3, bits.length),
    data(4, bits),
    data(5, xor),
  ])

/** [ bitwise reg = ( reg & 0xff… ) ^ 0 ]: whole words, as they are. */
export const move = (from: number, to: number, bytes: number): Expression =>
  expression('bitwise', [
    u32be(1, from),
    u32be(2, to),
    u32be(3, bytes),
    data(4, new Uint8Array(bytes).fill(0xff)),
    data(5, new Uint8Array(bytes)),
  ])

/** [ lookup reg set NAME ]: the rule ends here when the set does not hold the registers' value. */
export const lookup = (set: string, from: number): Expression =>
  expression('lookup', [text(1, set), u32be(2, from)])

const NFT_LOOKUP_F_INV = 1

/** [ lookup reg set NAME 0x1 ]: the rule ends here when the set holds the registers' value. */
export const isNotIn = (set: string, from: number): Expression =>
  expression('lookup', [text(1, set), u32be(2, from), u32be(5, NFT_LOOKUP_F_INV)])

/** [ lookup reg set NAME dreg 0 ]: a verdict map; no element means that the next rule is tried. */
export const verdictMap = (set: string, from: number): Expression =>
  expression('lookup', [text(1, set), u32be(2, from), u32be(3, verdictRegister)])

/** [ lookup reg set NAME dreg reg ]: what the map has under this key; the rule ends without it. */
export const dataMap = (set: string, from: number, into: number): Expression =>
  expression('lookup', [text(1, set), u32be(2, from), u32be(3, into)])

const verdictRegister = 0 // NFT_REG_VERDICT

/** A chain that a packet is sent to by `goto` is not come back from. */
export type Verdict =
  | 'accept'
  | 'drop'
  | 'return'
  | { readonly jump: string }
  | { readonly goto: string }

/** [ immediate reg 0 VERDICT ] */
export const verdict = (what: Verdict): Expression =>
  expression('immediate', [u32be(1, verdictRegister), nested(2, [verdictData(what)])])

const verdictCodes = { drop: 0, accept: 1, return: -5 } as const
const NFT_JUMP = -3
const NFT_GOTO = -4

/** NFTA_DATA_VERDICT: code, and the chain of a jump. */
export function verdictData(what: Verdict): Attribute {
  if (typeof what === 'string')
    return nested(NFTA_DATA_VERDICT, [u32be(NFTA_VERDICT_CODE, verdictCodes[what])])
  const isJump = 'jump' in what
  return nested(NFTA_DATA_VERDICT, [
    u32be(NFTA_VERDICT_CODE, isJump ? NFT_JUMP : NFT_GOTO),
    text(NFTA_VERDICT_CHAIN, isJump ? what.jump : what.goto),
  ])
}

const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 0x10

/**
 * [ masq flags 0x10 ]: ports are drawn at random, which avoids the kernel's race between two equal
 * source ports.
 */
export const masquerade = (): Expression =>
  expression('masq', [u32be(1, NF_NAT_RANGE_PROTO_RANDOM_FULLY)])

/** [ immediate reg VALUE ] */
export const immediate = (into: number, value: Uint8Array): Expression =>
  expression('immediate', [u32be(1, into), data(2, value)])

const NFTA_FIB_F_SADDR = 1
const NFTA_FIB_F_DADDR = 2
const NFT_FIB_RESULT_ADDRTYPE = 3

const addressType = (end: number, into: number): Expression =>
  expression('fib', [u32be(1, into), u32be(2, NFT_FIB_RESULT_ADDRTYPE), u32be(3, end)])

/** [ fib daddr type => reg ]: RTN_* of the destination, in host order. */
export const destinationType = (into: number): Expression => addressType(NFTA_FIB_F_DADDR, into)

/** [ fib saddr type => reg ] */
export const sourceType = (into: number): Expression => addressType(NFTA_FIB_F_SADDR, into)

const NFT_CT_LABELS = 13

/** [ ct load label => reg ]: sixteen bytes, zeros where a connection has none. */
export const connectionLabels = (into: number): Expression =>
  expression('ct', [u32be(1, into), u32be(2, NFT_CT_LABELS)])

/** [ ct set label with reg ]: sets the bits that are set there, and leaves the others. */
export const labelConnection = (from: number): Expression =>
  expression('ct', [u32be(4, from), u32be(2, NFT_CT_LABELS)])

const NFT_NAT_DNAT = 1
const nfprotos = { 4: 2, 6: 10 } as const

/** [ nat dnat ip addr_min reg proto_min reg ] */
export const destinationNat = (
  family: 4 | 6,
  { address, port }: { readonly address: number; readonly port: number },
): Expression =>
  expression('nat', [
    u32be(1, NFT_NAT_DNAT),
    u32be(2, nfprotos[family]),
    u32be(3, address),
    u32be(5, port),
  ])
