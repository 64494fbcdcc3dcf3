import type { Query } from '../../src/wire/netlink/message.ts'

// Netlink messages as people read them. Names and numbers are those of the kernel's headers
// (rtnetlink.h, if_link.h, if_addr.h, neighbour.h, nf_tables.h); nothing is shared with src/wire.

export type Taken = { readonly type: number; readonly payload: Buffer }

/** struct nlattr { u16 length, type }, each padded to four bytes. */
export function attributesOf(bytes: Buffer): readonly Taken[] {
  const found: Taken[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > bytes.length) throw new Error(`odd length ${length} at ${at}`)
    const type = bytes.readUInt16LE(at + 2) & 0x3fff
    found.push({ type, payload: bytes.subarray(at + 4, at + length) })
    at += (length + 3) & ~3
  }
  return found
}

export const textOf = (payload: Buffer): string => payload.toString('utf8').replace(/\0.*$/s, '')

type Shape = Readonly<{
  name: string
  /** Bytes of a fixed part before the attributes. */
  head?: number
  text?: true
  inner?: Readonly<Record<number, Shape>>
}>

const plain = (name: string): Shape => ({ name })
const text = (name: string): Shape => ({ name, text: true })

const linkShapes: Record<number, Shape> = {
  1: plain('IFLA_ADDRESS'),
  3: text('IFLA_IFNAME'),
  4: plain('IFLA_MTU'),
  10: plain('IFLA_MASTER'),
  20: text('IFLA_IFALIAS'),
  26: {
    name: 'IFLA_AF_SPEC',
    inner: { 10: { name: 'AF_INET6', inner: { 8: plain('IFLA_INET6_ADDR_GEN_MODE') } } },
  },
  28: plain('IFLA_NET_NS_FD'),
}
const peer: Shape = { name: 'VETH_INFO_PEER', head: 16, inner: linkShapes }
linkShapes[18] = {
  name: 'IFLA_LINKINFO',
  inner: {
    1: text('IFLA_INFO_KIND'),
    2: { name: 'IFLA_INFO_DATA', inner: { 1: peer } },
    4: text('IFLA_INFO_SLAVE_KIND'),
    5: {
      name: 'IFLA_INFO_SLAVE_DATA',
      inner: { 4: plain('IFLA_BRPORT_MODE'), 33: plain('IFLA_BRPORT_ISOLATED') },
    },
  },
}

const messages: Readonly<Record<number, Shape>> = {
  16: { name: 'RTM_NEWLINK', head: 16, inner: linkShapes },
  20: {
    name: 'RTM_NEWADDR',
    head: 8,
    inner: { 1: plain('IFA_ADDRESS'), 2: plain('IFA_LOCAL'), 8: plain('IFA_FLAGS') },
  },
  24: {
    name: 'RTM_NEWROUTE',
    head: 12,
    inner: {
      1: plain('RTA_DST'),
      4: plain('RTA_OIF'),
      5: plain('RTA_GATEWAY'),
      6: plain('RTA_PRIORITY'),
      8: { name: 'RTA_METRICS', inner: { 2: plain('RTAX_MTU'), 8: plain('RTAX_ADVMSS') } },
      15: plain('RTA_TABLE'),
    },
  },
  28: {
    name: 'RTM_NEWNEIGH',
    head: 12,
    inner: { 1: plain('NDA_DST'), 2: plain('NDA_LLADDR') },
  },
}

const flagNames = [
  [0x1, 'request'],
  [0x4, 'ack'],
  [0x100, 'replace'],
  [0x200, 'excl'],
  [0x400, 'create'],
  [0x800, 'append'],
] as const

const flagsText = (flags: number): string =>
  flagNames.flatMap(([bit, name]) => (flags & bit ? [name] : [])).join(' ')

const words = (bytes: Buffer): string => (bytes.toString('hex').match(/.{1,8}/g) ?? []).join(' ')

/** A message of rtnetlink, a line for each attribute. */
export function printRoute({ type, flags, body }: Query): readonly string[] {
  const shape = messages[type]
  if (shape === undefined) throw new Error(`Cannot print a message of type ${type}`)
  return [`${shape.name} ${flagsText(flags)}`, ...printBody(Buffer.from(body), shape)]
}

function printBody(bytes: Buffer, { head = 0, inner }: Shape): readonly string[] {
  const first = head > 0 ? [words(bytes.subarray(0, head))] : []
  const rest = attributesOf(bytes.subarray(head)).flatMap(({ type, payload }) => {
    const shape = inner?.[type] ?? plain(`attribute ${type}`)
    return printAttribute(payload, shape)
  })
  return [...first, ...rest].map((line) => `  ${line}`)
}

function printAttribute(payload: Buffer, shape: Shape): readonly string[] {
  if (shape.inner) return [shape.name, ...printBody(payload, shape)]
  if (!shape.text) return [`${shape.name} ${words(payload)}`]
  const [value, lines] = [textOf(payload), [] as string[]]
  for (let at = 0; at < value.length || at === 0; at += 70) lines.push(value.slice(at, at + 70))
  return lines.map((line, at) => (at === 0 ? `${shape.name} "${line}"` : `  "${line}"`))
}
