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

/** NFTA_DATA_VERDICT: code, and the chain of a jump (-3). */
function verdictText(data: Read): string {
  const verdict = data.inside(2)
  const code = verdict.number(1)
  return code === -3 ? `jump ${verdict.text(2)}` : (verdicts[code] ?? `verdict ${code}`)
}

/** A verdict, or the bytes themselves. */
const valueText = (data: Read): string => (data.has(2) ? verdictText(data) : data.hex(1))

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
      const operator = data.number(2) === 0 ? 'eq' : `operator ${data.number(2)}`
      return `cmp ${operator} reg ${data.number(1)} ${data.inside(3).hex(1)}`
    }
    case 'bitwise': {
      const [mask, xor] = [data.inside(4).hex(1), data.inside(5).hex(1)]
      return `bitwise reg ${data.number(2)} = ( reg ${data.number(1)} & ${mask} ) ^ ${xor}`
    }
    case 'lookup': {
      const target = data.has(3) ? ` dreg ${data.number(3)}` : ''
      return `lookup reg ${data.number(2)} set ${data.text(1)}${target}`
    }
    case 'immediate':
      return `immediate reg ${data.number(1)} ${valueText(data.inside(2))}`
    case 'masq':
      return `masq flags ${data.hex(1)}`
    default:
      throw new Error(`Cannot print expression ${name}`)
  }
}

/** User data of one comment: type 0, its length, text with a NUL. */
function commentOf(bytes: Buffer): string {
  if (bytes[0] !== 0 || bytes[1] !== bytes.length - 2) throw new Error(bytes.toString('hex'))
  return textOf(bytes.subarray(2))
}

function setText(set: Read): string {
  const kind = set.number(3) === 8 ? 'map' : 'set'
  const type = set.number(4).toString(16)
  return `${kind} ${set.text(2)}: key type ${type}, ${set.number(5)} bytes, id ${set.number(10)}`
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
    default:
      throw new Error(`Cannot print message ${type}`)
  }
}

export function printElement(element: Element): readonly string[] {
  const { family, set, key, verdict, comment } = element
  const target = typeof verdict === 'object' ? ` : jump ${verdict.jump}` : ''
  return [
    `${family} ${set} "${comment}"${target}`,
    ...(
      Buffer.from(key)
        .toString('hex')
        .match(/.{1,64}/g) ?? []
    ).map((part) => `  ${part}`),
  ]
}
