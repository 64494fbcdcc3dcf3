import { decodeText, u32At } from '../../base/bytes.ts'
import { readAttributes, readList, readU32be } from '../netlink/attribute.ts'
import { NLM_F_DUMP, type Query } from '../netlink/message.ts'
import { type AnyFamily, nftQuery, readNft } from './message.ts'

// Which bits of a connection's mark a rule of anybody's changes. Numbers and shapes:
// include/uapi/linux/netfilter/nf_tables.h, nf_tables_compat.h, xt_connmark.h.

const NFT_MSG_GETRULE = 7
const NFTA_RULE_TABLE = 1
const NFTA_RULE_CHAIN = 2
const NFTA_RULE_EXPRESSIONS = 4
const NFTA_EXPR_NAME = 1
const NFTA_EXPR_DATA = 2
const NFTA_CT_DREG = 1
const NFTA_CT_KEY = 2
const NFTA_CT_SREG = 4
const NFT_CT_MARK = 3
const NFTA_BITWISE_SREG = 1
const NFTA_BITWISE_DREG = 2
const NFTA_BITWISE_MASK = 4
const NFTA_BITWISE_XOR = 5
const NFTA_DATA_VALUE = 1
const NFTA_TARGET_NAME = 1
const NFTA_TARGET_REV = 2
const NFTA_TARGET_INFO = 3
/** u32 ctmark, ctmask, nfmask, host order; u8 mode, or (revision 2) shift_dir, shift_bits, mode. */
const modeAt = { first: 12, shifting: 14 }
const XT_CONNMARK_RESTORE = 2

/** Every rule of a family. */
export const dumpAllRules = (family: AnyFamily): Query =>
  nftQuery(family, { number: NFT_MSG_GETRULE, flags: NLM_F_DUMP }, [])

export type MarkSetter = {
  readonly table: string
  readonly chain: string
  /** Bits that the rule may change; 0: it leaves the mark alone. */
  readonly bits: number
}

const none = new Uint8Array(0)

export function decodeMarkSetter(body: Uint8Array): MarkSetter {
  const rule = readNft(body)
  const parts = readList(rule.get(NFTA_RULE_EXPRESSIONS) ?? none).map(({ payload }) => {
    const part = readAttributes(payload)
    const name = decodeText(part.get(NFTA_EXPR_NAME) ?? none)
    return { name, data: readAttributes(part.get(NFTA_EXPR_DATA) ?? none) }
  })
  return {
    table: decodeText(rule.get(NFTA_RULE_TABLE) ?? none),
    chain: decodeText(rule.get(NFTA_RULE_CHAIN) ?? none),
    bits: bitsOf(parts),
  }
}

/** Expressions that fill a register; it is their first attribute. Of `meta` that sets, none. */
const loaders = ['immediate', 'meta', 'payload', 'ct', 'fib', 'exthdr', 'rt', 'socket']
const destinationRegister = 1

type Part = { readonly name: string; readonly data: ReadonlyMap<number, Uint8Array> }

const allBits = 0xffffffff

/** A register holds the mark, but for these bits; of one that does not, all may differ. */
function bitsOf(parts: readonly Part[]): number {
  const differing = new Map<number, number>()
  let bits = 0
  for (const { name, data } of parts) {
    const number = (key: number): number => readU32be(data.get(key) ?? new Uint8Array(4))
    const value = (key: number): number => {
      const found = readAttributes(data.get(key) ?? none).get(NFTA_DATA_VALUE)
      return found?.length === 4 ? u32At(found, 0) : 0
    }
    if (name === 'ct' && number(NFTA_CT_KEY) === NFT_CT_MARK) {
      if (data.has(NFTA_CT_SREG)) bits |= differing.get(number(NFTA_CT_SREG)) ?? allBits
      else differing.set(number(NFTA_CT_DREG), 0)
    } else if (name === 'bitwise') {
      const before = differing.get(number(NFTA_BITWISE_SREG)) ?? allBits
      const changed = ~value(NFTA_BITWISE_MASK) | value(NFTA_BITWISE_XOR)
      differing.set(number(NFTA_BITWISE_DREG), before | changed)
    } else if (name === 'target') bits |= targetBits(data)
    else if (loaders.includes(name)) differing.delete(number(destinationRegister))
  }
  return bits >>> 0
}

function targetBits(data: ReadonlyMap<number, Uint8Array>): number {
  const info = data.get(NFTA_TARGET_INFO) ?? none
  if (decodeText(data.get(NFTA_TARGET_NAME) ?? none) !== 'CONNMARK') return 0
  const revision = readU32be(data.get(NFTA_TARGET_REV) ?? new Uint8Array(4))
  const mode = info[revision >= 2 ? modeAt.shifting : modeAt.first]
  if (mode === undefined) return allBits
  return mode === XT_CONNMARK_RESTORE ? 0 : u32At(info, 0) | u32At(info, 4)
}
