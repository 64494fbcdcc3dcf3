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

/** An expression by its kernel name and its attributes. */
export const expression = (name: string, data: readonly Attribute[]): Expression =>
  nested(NFTA_LIST_ELEM, [text(NFTA_EXPR_NAME, name), nested(NFTA_EXPR_DATA, data)])

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
export const equals = (from: number, value: Uint8Array): Expression =>
  expression('cmp', [u32be(1, from), u32be(2, 0), nested(3, [attribute(NFTA_DATA_VALUE, value)])])

/** [ bitwise reg = ( reg & MASK ) ^ 0 ] */
export const mask = (at: number, bits: Uint8Array): Expression =>
  expression('bitwise', [
    u32be(1, at),
    u32be(2, at),
    u32be(3, bits.length),
    nested(4, [attribute(NFTA_DATA_VALUE, bits)]),
    nested(5, [attribute(NFTA_DATA_VALUE, new Uint8Array(bits.length))]),
  ])

/** [ lookup reg set NAME ]: the rule ends here when the set does not hold the registers' value. */
export const lookup = (set: string, from: number): Expression =>
  expression('lookup', [text(1, set), u32be(2, from)])

/** [ lookup reg set NAME dreg 0 ]: a verdict map; no element means that the next rule is tried. */
export const verdictMap = (set: string, from: number): Expression =>
  expression('lookup', [text(1, set), u32be(2, from), u32be(3, verdictRegister)])

const verdictRegister = 0 // NFT_REG_VERDICT

export type Verdict = 'accept' | 'drop' | 'return' | { readonly jump: string }

/** [ immediate reg 0 VERDICT ] */
export const verdict = (what: Verdict): Expression =>
  expression('immediate', [u32be(1, verdictRegister), nested(2, [verdictData(what)])])

const verdictCodes = { drop: 0, accept: 1, return: -5 } as const
const NFT_JUMP = -3

/** NFTA_DATA_VERDICT: code, and the chain of a jump. */
export function verdictData(what: Verdict): Attribute {
  if (typeof what === 'string')
    return nested(NFTA_DATA_VERDICT, [u32be(NFTA_VERDICT_CODE, verdictCodes[what])])
  return nested(NFTA_DATA_VERDICT, [
    u32be(NFTA_VERDICT_CODE, NFT_JUMP),
    text(NFTA_VERDICT_CHAIN, what.jump),
  ])
}

/** [ immediate reg VALUE ] */
export const immediate = (into: number, value: Uint8Array): Expression =>
  expression('immediate', [u32be(1, into), nested(2, [attribute(NFTA_DATA_VALUE, value)])])

const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 0x10

/**
 * [ masq flags 0x10 ]: ports are drawn at random, which avoids the kernel's race between two equal
 * source ports.
 */
export const masquerade = (): Expression =>
  expression('masq', [u32be(1, NF_NAT_RANGE_PROTO_RANDOM_FULLY)])
