import { addressBytes } from '../../base/address.ts'
import { concat, decodeText, Reader, toHex, Writer } from '../../base/bytes.ts'
import type { Prefix } from '../../base/prefix.ts'
import {
  type Attribute,
  attribute,
  nested,
  readAttributes,
  readList,
  text,
} from '../netlink/attribute.ts'
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  type Query,
} from '../netlink/message.ts'
import type { IfIndex } from './link.ts'
import {
  decodeTrafficControl,
  type Hook,
  parentOf,
  TCA_KIND,
  TCA_OPTIONS,
  trafficControl,
} from './traffic-control.ts'

// Filters of kind u32, which every kernel with traffic control has: include/uapi/linux/pkt_cls.h.

const RTM_NEWTFILTER = 44
const RTM_DELTFILTER = 45
const RTM_GETTFILTER = 46

const TCA_U32_SEL = 5
const TCA_U32_ACT = 7
const TC_U32_TERMINAL = 1
const TCA_ACT_KIND = 1
const TCA_ACT_OPTIONS = 2
const TCA_MIRRED_PARMS = 2 // tc_act/tc_mirred.h
const TC_ACT_STOLEN = 4
const TCA_EGRESS_REDIR = 1
/** linux/if_ether.h; tcm_info has them in network order. */
const protocols = { all: 0x0003, ip: 0x0800, ipv6: 0x86dd } as const
export type Protocol = keyof typeof protocols

/** Where in an IP header (RFC 791, RFC 8200) the addresses are. */
const offsets = {
  4: { source: 12, destination: 16 },
  6: { source: 8, destination: 24 },
} as const

/** What a packet's address has to be in. */
export type Match = { readonly at: 'source' | 'destination'; readonly prefix: Prefix }

/** All filters of one hook that have one preference have one protocol. */
export type FilterPlace = {
  readonly link: IfIndex
  readonly hook: Hook
  /** Lower ones are asked first. */
  readonly preference: number
  readonly protocol: Protocol
}

export type NewFilter = FilterPlace & {
  /** Null: any packet of the protocol. */
  readonly match: Match | null
  /** The packet goes on as this link's own; null: it goes on as it was, past all later filters. */
  readonly redirectTo: IfIndex | null
}

export function newFilter(filter: NewFilter): Query {
  const selector = attribute(TCA_U32_SEL, selectorOf(filter.match))
  const action = filter.redirectTo === null ? [] : [redirect(filter.redirectTo)]
  return {
    type: RTM_NEWTFILTER,
    flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    body: trafficControl(headOf(filter), [
      text(TCA_KIND, 'u32'),
      nested(TCA_OPTIONS, [...action, selector]),
    ]),
  }
}

const headOf = ({ link, hook, preference, protocol }: FilterPlace) => ({
  link,
  parent: parentOf(hook),
  info: preference * 0x10000 + swapped(protocols[protocol]),
})
const swapped = (value: number): number => ((value & 0xff) << 8) | (value >> 8)

/**
 * struct tc_u32_sel (16 bytes: flags, offshift, nkeys, pad, offmask, off, offoff, hoff, hmask),
 * then a struct tc_u32_key (mask, value, offset, offmask) for each 32-bit word that is looked at.
 */
function selectorOf(match: Match | null): Uint8Array {
  const keys = match ? keysOf(match) : [anyWord]
  const head = new Writer().u8(TC_U32_TERMINAL).u8(0).u8(keys.length)
  return concat([head.bytes(new Uint8Array(13)).done(), ...keys])
}
const anyWord = new Uint8Array(16)

function keysOf({ at, prefix: { address, bits } }: Match): readonly Uint8Array[] {
  const bytes = addressBytes(address)
  const words = Math.max(1, Math.ceil(bits / 32))
  return Array.from({ length: words }, (_, word) => {
    const maskBits = Math.min(32, bits - word * 32)
    const mask = maskBits === 0 ? 0 : (0xffffffff << (32 - maskBits)) >>> 0
    const value = bytes.subarray(word * 4, word * 4 + 4)
    return new Writer()
      .u32be(mask)
      .bytes(value)
      .u32(offsets[address.family][at] + word * 4)
      .u32(0)
      .done()
  })
}

/**
 * One action, mirred. Its struct tc_mirred (linux/tc_act/tc_mirred.h): index, capab, action,
 * refcnt, bindcnt, eaction, ifindex.
 */
function redirect(to: IfIndex): Attribute {
  const parameters = new Writer().u32(0).u32(0).u32(TC_ACT_STOLEN).u32(0).u32(0)
  return nested(TCA_U32_ACT, [
    nested(1, [
      text(TCA_ACT_KIND, 'mirred'),
      nested(TCA_ACT_OPTIONS, [
        attribute(TCA_MIRRED_PARMS, parameters.u32(TCA_EGRESS_REDIR).u32(to).done()),
      ]),
    ]),
  ])
}

/** All filters of the place. */
export const deleteFilters = (place: FilterPlace): Query => ({
  type: RTM_DELTFILTER,
  flags: NLM_F_REQUEST | NLM_F_ACK,
  body: trafficControl(headOf(place), []),
})

export const dumpFilters = (link: IfIndex, hook: Hook): Query => ({
  type: RTM_GETTFILTER,
  flags: NLM_F_REQUEST | NLM_F_DUMP,
  body: trafficControl({ link, parent: parentOf(hook) }, []),
})

export type ObservedFilter = {
  readonly preference: number
  readonly kind: string
  /** Of a u32 filter: what it looks at, in hex; undefined for its empty hash tables. */
  readonly selector: string | undefined
  readonly redirectTo: number | null
}

/** The selector of a filter as `decodeFilter` tells it: its number of keys, then the keys. */
export const selectorText = (match: Match | null): string => textOfSelector(selectorOf(match))

/** Counters and flags that the kernel adds are left out. */
const textOfSelector = (selector: Uint8Array): string => {
  const count = selector[2] ?? 0
  return `${count} ${toHex(selector.subarray(16, 16 + count * 16))}`
}

export function decodeFilter(bytes: Uint8Array): ObservedFilter {
  const { info, attributes } = decodeTrafficControl(bytes)
  const name = attributes.get(TCA_KIND)
  const kind = name ? decodeText(name) : ''
  const payload = kind === 'u32' ? attributes.get(TCA_OPTIONS) : undefined
  const options = payload && readAttributes(payload)
  const selector = options?.get(TCA_U32_SEL)
  const actions = options?.get(TCA_U32_ACT)
  return {
    preference: Math.floor(info / 0x10000),
    kind,
    selector: selector && textOfSelector(selector),
    redirectTo: actions ? redirectOf(actions) : null,
  }
}

function redirectOf(actions: Uint8Array): number | null {
  for (const { payload } of readList(actions)) {
    const options = readAttributes(payload).get(TCA_ACT_OPTIONS)
    const parameters = options && readAttributes(options).get(TCA_MIRRED_PARMS)
    if (!parameters) continue
    const reader = new Reader(parameters)
    reader.bytes(24)
    return reader.u32()
  }
  return null
}
