import type { Query } from '../../src/wire/netlink/message.ts'
import type { Element } from '../../src/wire/nft/set.ts'
import { attributesOf, textOf } from './printed.ts'

// nf_tables messages as people read them: linux/netfilter/nf_tables.h, nothing of src/wire.

type Read = Readonly<{
  has: (type: number) => boolean
  text: (type: number) => string
  number: (type: number) => number
  hex: (type: number) => string
  inside: (type: number) => Read
  bytes: (type: number) => Buffer
}>

function read(bytes: Buffer): Read {
  const found = new Map(attributesOf(bytes).map(({ type, payload }) => [type, payload]))
  const get = (type: number): Buffer => {
    const payload = found.get(type)
    if (payload === undefined) throw new Error(`Cannot print: no attribute ${type}`)
    return payload
  }
  return {
    has: (type) => found.has(type),
    text: (type) => textOf(get(type)),
    number: (type) => get(type).readInt32BE(),
    hex: (type) => get(type).toString('hex'),
    inside: (type) => read(get(type)),
    bytes: get,
  }
}

const metaKeys: Readonly<Record<number, string>> = {
  1: 'protocol',
  6: 'iifname',
  7: 'oifname',
  15: 'nfproto',
  16: 'l4proto',
}
const bases = ['link', 'network', 'transport']
const verdicts: Readonly<Record<number, string>> = { 0: 'drop', 1: 'accept', [-5]: 'return' }

/** NFTA_DATA_VERDICT: code, and the chain of a jump (-3) or goto (-4). */
function verdictText(data: Read): string {
  const verdict = data.inside(2)
  const code = verdict.number(1)
  if (code === -3 || code === -4) return `${code === -3 ? 'jump' : 'goto'} ${verdict.text(2)}`
  return verdicts[code] ?? `verdict ${code}`
}

const dataText = (data: Read): string => (data.has(1) ? data.hex(1) : verdictText(data))
const ctKeys: Readonly<Record<number, string>> = {
  0: 'state',
  1: 'direction',
  3: 'mark',
  11: 'proto_src',
  13: 'label',
  19: 'src_ip',
  21: 'src_ip6',
}
const natFamilies: Readonly<Record<number, string>> = { 2: 'ip', 10: 'ip6' }

/** A line of the virtual machine, in the words of `nft --debug=netlink`. */
function expressionText(bytes: Buffer): string {
  const expression = read(bytes)
  const [name, data] = [expression.text(1), expression.inside(2)]
  switch (name) {
    case 'meta':
      return `meta load ${metaKeys[data.number(2)]} => reg ${data.number(1)}`
    case 'payload': {
      const [base, offset, length] = [bases[data.number(2)], data.number(3), data.number(4)]
      return `payload load ${length}b @ ${base} header + ${offset} => reg ${data.number(1)}`
    }
    case 'cmp': {
      const operator =
        ['eq', 'neq', 'lt', 'lte', 'gt', 'gte'][data.number(2)] ?? `operator ${data.number(2)}`
      return `cmp ${operator} reg ${data.number(1)} ${data.inside(3).hex(1)}`
    }
    case 'bitwise': {
      const [mask, xor] = [data.inside(4).hex(1), data.inside(5).hex(1)]
      return `bitwise reg ${data.number(2)} = ( reg ${data.number(1)} & ${mask} ) ^ ${xor}`
    }
    case 'lookup': {
      const target = data.has(3) ? ` dreg ${data.number(3)}` : ''
      const inverted = data.has(5) ? ` flags ${data.number(5)}` : ''
      return `lookup reg ${data.number(2)} set ${data.text(1)}${target}${inverted}`
    }
    case 'immediate':
      return `immediate reg ${data.number(1)} ${dataText(data.inside(2))}`
    case 'fib':
      return `fib result ${data.number(2)} flags ${data.number(3)} => reg ${data.number(1)}`
    case 'ct':
      return data.has(4)
        ? `ct set ${ctKeys[data.number(2)]} with reg ${data.number(4)}`
        : `ct load ${ctKeys[data.number(2)]} => reg ${data.number(1)}${directionText(data)}`
    case 'nat': {
      const [type, family] = [data.number(1), data.number(2)]
      const places = `addr_min reg ${data.number(3)} proto_min reg ${data.number(5)}`
      return `nat ${['snat', 'dnat'][type]} ${natFamilies[family]} ${places}`
    }
    case 'objref':
      return `objref type ${data.number(1)} name ${data.text(2)}`
    case 'limit':
      return `limit rate ${data.hex(1)} unit ${data.hex(2)} burst ${data.number(3)}`
    case 'log':
      return `log group ${data.hex(1)} prefix "${data.text(2)}" snaplen ${data.number(3)}`
    case 'masq':
      return `masq flags ${data.hex(1)}`
    default:
      throw new Error(`Cannot print expression ${name}`)
  }
}

const directionText = (data: Read): string => (data.has(3) ? `, dir ${data.hex(3)}` : '')

/** User data of one comment: type 0, its length, text with a NUL. */
function commentOf(bytes: Buffer): string {
  if (bytes[0] !== 0 || bytes[1] !== bytes.length - 2) throw new Error(bytes.toString('hex'))
  return textOf(bytes.subarray(2))
}

function setText(set: Read): string {
  const kind = set.number(3) === 8 ? 'map' : 'set'
  const type = set.number(4).toString(16)
  const isData = set.has(6) && set.number(7) > 0
  const value = isData ? `, value type ${set.number(6).toString(16)}, ${set.number(7)} bytes` : ''
  const key = `key type ${type}, ${set.number(5)} bytes`
  return `${kind} ${set.text(2)}: ${key}${value}, id ${set.number(10)}`
}

function chainText(chain: Read): string {
  if (!chain.has(4)) return `chain ${chain.text(3)}`
  const hook = chain.inside(4)
  return (
    `chain ${chain.text(3)}: type ${chain.text(7)} ` +
    `hook ${hook.number(1)} priority ${hook.number(2)}`
  )
}

const families: Readonly<Record<number, string>> = { 1: 'inet', 7: 'bridge' }

/** A message of nf_tables: a table, a set, a chain, or a rule with its expressions. */
export function printRule({ type, body }: Query): readonly string[] {
  const bytes = Buffer.from(body)
  const message = read(bytes.subarray(4))
  switch (type & 0xff) {
    case 0:
      return [`table ${families[bytes[0] ?? 0]} ${message.text(1)}`]
    case 3:
      return [chainText(message)]
    case 6: {
      const lines = attributesOf(message.bytes(4)).map(({ payload }) => expressionText(payload))
      const comment = commentOf(message.bytes(7))
      return [`rule in ${message.text(2)}: "${comment}"`, ...lines.map((line) => `  ${line}`)]
    }
    case 9:
      return [setText(message)]
    case 18:
      return [`counter ${message.text(2)}`]
    default:
      throw new Error(`Cannot print message ${type}`)
  }
}

export function printElement(element: Element): readonly string[] {
  const { family, set, key, verdict, comment } = element
  const isJump = typeof verdict === 'object' && 'jump' in verdict
  const target = isJump ? ` : jump ${verdict.jump}` : ''
  return [
    `${family} ${set} "${comment}"${target}`,
    ...(
      Buffer.from(key)
        .toString('hex')
        .match(/.{1,64}/g) ?? []
    ).map((part) => `  ${part}`),
  ]
}
